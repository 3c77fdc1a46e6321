"""Groups of commands that name the command meant by a name that is nearly one."""

from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup


class CommandGroup(TyperGroup):
    """A group that knows the start of a command's name, a word of it, and misspellings."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first of the arguments names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            likely = likely_names(args[0], self.list_commands(ctx))
            if likely:
                names = " or ".join(f"`{name}`" for name in likely)
                ctx.fail(f"No such command `{args[0]}`. Did you mean {names}?")
        return super().resolve_command(ctx, args)


def likely_names(typed: str, names: list[str]) -> list[str]:
    """The commands that begin with what was typed or have it as a word, else those nearest."""
    wanted = typed.lower().replace("_", "-")
    for candidates in (
        [name for name in names if name.startswith(wanted)],
        [name for name in names if wanted in name.split("-")],
    ):
        if wanted and candidates:
            return candidates
    return get_close_matches(wanted, names)
