"""`cohort mimic-iv|mimic-iii|physionet2012|meds|show`: stays in intensive care as records."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patientdx.errors import UsageError

from . import cohort_show, options, output

if TYPE_CHECKING:
    from evaluator.cohorts.database import DatabaseOptions
    from evaluator.cohorts.metadata import CohortMeta
    from evaluator.cohorts.redaction import IdRedactor

app = typer.Typer(help="Make and describe cohorts for mortality prediction.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the tables.")]
Into = Annotated[Path, typer.Option("--into", help="Cohort file to write (Parquet).")]
MinAge = Annotated[float, typer.Option("--min-age", help="Least age in years.")]
Window = Annotated[int, typer.Option("--window-hours", help="Hours that a record tells of.")]
Gap = Annotated[
    int, typer.Option("--gap-hours", help="Hours that a stay must last beyond the window.")
]
BinHours = Annotated[int, typer.Option("--bin-hours", help="Hours of a bin.")]
Outliers = Annotated[
    float,
    typer.Option("--outlier-percentile", help="Drop values above this percentile of their item."),
]
LowOutliers = Annotated[
    float, typer.Option("--outlier-low-percentile", help="Drop values below this percentile.")
]
UnitShare = Annotated[
    float,
    typer.Option("--unit-share", help="Drop other units where one has more than this share."),
]
Imputation = Annotated[
    Literal["forward-backward", "forward-mean", "none"],
    typer.Option("--imputation", help="How empty bins are filled before the mean."),
]
Diagnoses = Annotated[
    Literal["all", "prior", "none"],
    typer.Option(
        "--diagnoses",
        help="all: the stay's own codes, which leak the outcome; prior: of earlier admissions.",
    ),
]
ConvertIcd9 = Annotated[
    bool, typer.Option("--convert-icd9/--keep-icd9", help="Tell ICD-9 codes as ICD-10 families.")
]
IcdMap = Annotated[
    Path | None,
    typer.Option("--icd-map", help="File of ICD-9 and ICD-10 codes instead of the package's."),
]
RootLength = Annotated[int, typer.Option("--root-length", help="Characters of an ICD-10 family.")]
Medication = Annotated[
    Literal["amount", "rate"], typer.Option("--medication", help="What is told of an infusion.")
]
Memory = Annotated[str, typer.Option("--memory", help="Memory of the database, such as 8GB.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Threads of the database.")]
Spill = Annotated[
    Path | None,
    typer.Option("--spill", help="Folder for the private spill folder (default: beside --into)."),
]
RedactIds = Annotated[
    bool, typer.Option("--redact-ids", help="Replace ids by keyed hashes (HMAC-SHA-256).")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="Key of --redact-ids (default: a new one, kept nowhere)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but warnings.")]


@app.callback()
def main() -> None:
    """Make and describe cohorts for mortality prediction."""


def _mimic(source: str) -> Callable[..., None]:
    """The command of a version of MIMIC; both have the same options."""

    def command(
        folder: Folder,
        into: Into,
        diagnoses: Diagnoses = "all",
        icd_map: IcdMap = None,
        convert_icd9: ConvertIcd9 = True,
        root_length: RootLength = 3,
        min_age: MinAge = 18,
        window_hours: Window = 48,
        gap_hours: Gap = 6,
        bin_hours: BinHours = 2,
        outlier_percentile: Outliers = 98,
        outlier_low_percentile: LowOutliers = 0,
        unit_share: UnitShare = 0.95,
        imputation: Imputation = "forward-backward",
        medication: Medication = "amount",
        memory: Memory = "4GB",
        threads: Threads = None,
        spill: Spill = None,
        redact_ids: RedactIds = False,
        key_file: KeyFile = None,
        as_json: options.Json = False,
        quiet: Quiet = False,
    ) -> None:
        meta = _build(
            source,
            (folder, icd_map),
            into,
            {
                "min_age": min_age,
                "window_hours": window_hours,
                "gap_hours": gap_hours,
                "bin_hours": bin_hours,
                "outlier_percentile": outlier_percentile,
                "outlier_low_percentile": outlier_low_percentile,
                "unit_share": unit_share,
                "imputation": imputation,
                "diagnoses": diagnoses,
                "convert_icd9": convert_icd9,
                "root_length": root_length,
                "medication": medication,
            },
            _database_options(memory, threads, spill),
            _redactor(redact_ids, key_file),
            quiet=quiet,
        )
        cohort_show.tell(meta, into, as_json=as_json, quiet=quiet)

    return command


mimic_iv = _mimic("mimic-iv")
mimic_iv.__doc__ = """Make a cohort of MIMIC-IV (1.0 to 3.x) as Mimic4Dataset does.

Adults whose stay in intensive care lasted 54 hours or longer, told by its first 48; the label is
death within the stay. Results hold every constant, and a table of what was dropped and why.

Example:
    patientdx cohort mimic-iv mimic-iv-demo --into cohort.parquet
"""
app.command("mimic-iv")(mimic_iv)

mimic_iii = _mimic("mimic-iii")
mimic_iii.__doc__ = """Make a cohort of MIMIC-III's tables, by the rules of `cohort mimic-iv`.

Example:
    patientdx cohort mimic-iii mimic-iii-demo --into cohort.parquet
"""
app.command("mimic-iii")(mimic_iii)


@app.command("physionet2012")
def physionet2012(
    folder: Folder,
    into: Into,
    subset: Annotated[str, typer.Option("--set", help="Set of the challenge: a, b or c.")] = "a",
    window_hours: Window = 48,
    bin_hours: BinHours = 2,
    outlier_percentile: Outliers = 98,
    outlier_low_percentile: LowOutliers = 0,
    imputation: Imputation = "forward-backward",
    memory: Memory = "4GB",
    threads: Threads = None,
    spill: Spill = None,
    redact_ids: RedactIds = False,
    key_file: KeyFile = None,
    as_json: options.Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a cohort of the open PhysioNet challenge of 2012 (in-hospital death, 48 hours).

    Example:
        patientdx cohort physionet2012 physionet2012 --into cohort.parquet
    """
    meta = _build(
        "physionet2012",
        (folder, subset.lower()),
        into,
        {
            "window_hours": window_hours,
            "bin_hours": bin_hours,
            "outlier_percentile": outlier_percentile,
            "outlier_low_percentile": outlier_low_percentile,
            "imputation": imputation,
        },
        _database_options(memory, threads, spill),
        _redactor(redact_ids, key_file),
        quiet=quiet,
    )
    cohort_show.tell(meta, into, as_json=as_json, quiet=quiet)


@app.command("meds")
def meds(
    folder: Folder,
    into: Into,
    labels: Annotated[
        Path, typer.Option("--labels", help="File or folder of MEDS labels (boolean_value).")
    ],
    diagnosis_codes: Annotated[
        str, typer.Option("--diagnosis-codes", help="Codes of diagnoses, a regular expression.")
    ] = "^DIAGNOSIS",
    medication_codes: Annotated[
        str, typer.Option("--medication-codes", help="Codes of medications.")
    ] = "^(MEDICATION|INFUSION_START|DRUG)",
    procedure_codes: Annotated[
        str, typer.Option("--procedure-codes", help="Codes of procedures.")
    ] = "^PROCEDURE",
    output_codes: Annotated[
        str, typer.Option("--output-codes", help="Codes of output events.")
    ] = "^(SUBJECT_FLUID_OUTPUT|OUTPUT)",
    min_age: MinAge = 18,
    window_hours: Window = 48,
    bin_hours: BinHours = 2,
    outlier_percentile: Outliers = 98,
    outlier_low_percentile: LowOutliers = 0,
    imputation: Imputation = "forward-backward",
    memory: Memory = "4GB",
    threads: Threads = None,
    spill: Spill = None,
    redact_ids: RedactIds = False,
    key_file: KeyFile = None,
    as_json: options.Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a cohort of any MEDS 0.4 folder and its labels; the window ends at the prediction.

    Example:
        patientdx cohort meds meds --labels labels.parquet --into cohort.parquet
    """
    from evaluator.cohorts.sources.meds import MedsCodes

    codes = MedsCodes(diagnosis_codes, medication_codes, procedure_codes, output_codes)
    meta = _build(
        "meds",
        (folder, labels, codes),
        into,
        {
            "min_age": min_age,
            "window_hours": window_hours,
            "bin_hours": bin_hours,
            "outlier_percentile": outlier_percentile,
            "outlier_low_percentile": outlier_low_percentile,
            "imputation": imputation,
        },
        _database_options(memory, threads, spill),
        _redactor(redact_ids, key_file),
        quiet=quiet,
    )
    cohort_show.tell(meta, into, as_json=as_json, quiet=quiet)


app.command("show")(cohort_show.show)


def _build(
    source_name: str,
    inputs: tuple[object, ...],
    into: Path,
    settings: dict[str, Any],
    database_options: "DatabaseOptions",
    redactor: "IdRedactor | None",
    *,
    quiet: bool,
) -> "CohortMeta":
    """Builds a cohort file; `inputs` are the arguments of the source's reader."""
    from evaluator.cohorts.builder import build_cohort
    from evaluator.cohorts.sources.registry import COHORT_SOURCES

    source = COHORT_SOURCES[source_name]
    return build_cohort(
        source.reader(*inputs),
        into,
        replace(source.defaults, **settings),
        database_options=database_options,
        redactor=redactor,
        on_step=lambda text: output.say(text, quiet=quiet),
    )


def _database_options(memory: str, threads: int | None, spill: Path | None) -> "DatabaseOptions":
    from evaluator.cohorts.database import DatabaseOptions

    return DatabaseOptions(memory=memory, threads=threads or options.threads(), spill=spill)


def _redactor(redact_ids: bool, key_file: Path | None) -> "IdRedactor | None":
    from evaluator.cohorts.redaction import make_redactor

    if key_file is not None and not redact_ids:
        raise UsageError("--key-file goes with --redact-ids")
    return make_redactor(key_file) if redact_ids else None
