"""The wordings of prompts that ship with the package, one text file each."""

from importlib.resources import files


def read_prompt(name: str) -> str:
    """The wording of a prompt, with its places in braces."""
    text = files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return text.removesuffix("\n")
