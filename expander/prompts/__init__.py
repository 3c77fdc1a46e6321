"""The prompt templates of the package, one text file each."""

from importlib.resources import files


def read_prompt(name: str) -> str:
    """The prompt template of a name, with its placeholders in braces."""
    text = files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return text.removesuffix("\n")
