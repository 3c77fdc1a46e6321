"""Words of messages that all packages share."""


def count_noun(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: `1 query`, `2 queries`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
