"""Excluding all patients that are described in the same article as one of them."""

from collections.abc import Sequence
from dataclasses import replace

from patientdx.errors import InputError
from patientdx.records import Filter, Patient

from .segments.segment import Segment

ARTICLE_FIELDS = ("PMID", "pmid")


def exclude_article(notes: Sequence[Patient], where: Filter, segments: Sequence[Segment]) -> Filter:
    """`where`, which also excludes the patients of the articles that a patient's notes name.

    Raises InputError for a patient of no article.
    """
    same = set()
    for note in notes:
        name = next((name for name in ARTICLE_FIELDS if name in note.metadata), None)
        if name is not None:
            same.add((name, str(note.metadata[name])))
    if same:
        return replace(where, exclude_where=(*where.exclude_where, *sorted(same)))
    patient_id = notes[0].patient_id
    article, hyphen, _ = patient_id.rpartition("-")
    if not hyphen:
        raise InputError(
            f"patient `{patient_id}` names no article",
            hint="the article is read from the field PMID or from ids such as 8535945-4",
        )
    siblings = {i for s in segments for i in s.patients.ids.with_prefix(article + "-")}
    return replace(where, exclude_ids=where.exclude_ids | siblings)
