"""Words of messages that all packages share."""


def count_noun(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun: `1 query`, `2 queries`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def count_patients(patients: int, notes: int) -> str:
    """Numbers of patients and of their notes, which go unsaid where each patient has one."""
    if patients == notes:
        return count_noun(patients, "patient")
    counted = f"{count_noun(patients, 'patient')}, " if patients else ""
    return counted + count_noun(notes, "note")
