"""The sample that ships with PatientDx: invented patients, queries and judgements (CC0)."""

from pathlib import Path


def sample_folder() -> Path:
    """The folder of the sample, in BEIR shape."""
    return Path(__file__).resolve().parent
