"""Tables that are missing, foreign, damaged or contradictory: plain errors, nothing of a row."""

from pathlib import Path

import pytest
import small_mimic
from small_mimic import Rows, at

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from evaluator.cohorts import Cohort, CohortMeta, read_cohort
from evaluator.cohorts.builder import ONE_CLASS_NOTE, build_cohort
from evaluator.cohorts.database import DatabaseOptions
from evaluator.cohorts.settings import CohortSettings
from evaluator.cohorts.sources.mimic import MimicReader
from patientdx.errors import InputError, PatientDxError, UsageError

Change = dict[str, tuple[str, Rows] | None]
SECRET = "Zaphodine"


def build(
    tmp_path: Path, change: Change | None = None, options: DatabaseOptions | None = None
) -> CohortMeta:
    folder = small_mimic.mimic_iv(tmp_path / "mimic", change=change)
    icd = small_mimic.icd_map(tmp_path)
    reader = MimicReader("mimic-iv", folder, icd)
    return build_cohort(reader, tmp_path / "cohort.parquet", database_options=options)


def read_built(tmp_path: Path) -> Cohort:
    return read_cohort(tmp_path / "cohort.parquet")


def build_error(
    tmp_path: Path, change: Change | None = None, options: DatabaseOptions | None = None
) -> str:
    """The message of a failed build, which leaves no file behind."""
    with pytest.raises(PatientDxError) as caught:
        build(tmp_path, change, options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["icd.txt", "mimic"]
    message = f"{caught.value.message} {caught.value.hint}"
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("table", "section", "message"),
    [
        ("icu/chartevents", "charts", "no table chartevents: records have no chart events"),
        ("icu/inputevents", "medications", "no table inputevents: records have no medications"),
        ("icu/procedureevents", "procedures", "no table procedureevents: records have no proced"),
        ("icu/outputevents", "outputs", "no table outputevents: records have no output events"),
        ("hosp/diagnoses_icd", "diagnoses", "no table diagnoses_icd: records have no diagnoses"),
    ],
)
def test_a_missing_table_is_named_with_what_goes_missing(
    tmp_path: Path, table: str, section: str, message: str
) -> None:
    meta = build(tmp_path, {table: None})
    assert any(note.startswith(message) for note in meta.notes)
    for stay in read_built(tmp_path):
        assert getattr(stay, section) == ()
    assert len(read_built(tmp_path)) == 4


def test_without_titles_and_labels_codes_and_numbers_stand_in_for_them(tmp_path: Path) -> None:
    meta = build(tmp_path, {"hosp/d_icd_diagnoses": None, "icu/d_items": None})
    assert sum(note.startswith("no table d_") for note in meta.notes) == 2
    stay = next(stay for stay in read_built(tmp_path) if stay.stay_id == "21")
    assert stay.diagnoses == ("I10", "I50", "I12")
    assert stay.charts[0].name == "item 101"


@pytest.mark.parametrize("table", ["icu/icustays", "hosp/patients", "hosp/admissions"])
def test_a_needed_table(tmp_path: Path, table: str) -> None:
    message = build_error(tmp_path, {table: None})
    assert f"no table {table.split('/')[1]}" in message
    assert "not MIMIC-IV" in message


def test_a_folder_that_is_not_mimic(tmp_path: Path) -> None:
    (tmp_path / "set-a.csv.gz").write_bytes(b"")
    with pytest.raises(InputError, match="this is not MIMIC-IV") as caught:
        build_cohort(MimicReader("mimic-iv", tmp_path), tmp_path / "c.parquet")
    assert "cohort physionet2012" in str(caught.value.hint)
    with pytest.raises(InputError, match="no such folder"):
        build_cohort(MimicReader("mimic-iv", tmp_path / "nowhere"), tmp_path / "c.parquet")


def test_the_tables_of_another_version(tmp_path: Path) -> None:
    folder = small_mimic.mimic_iii(tmp_path / "third")
    with pytest.raises(InputError, match=r"ICUSTAYS\.csv\.gz:1: no column stay_id"):
        build_cohort(MimicReader("mimic-iv", folder), tmp_path / "c.parquet")


@pytest.mark.parametrize("zone", ["Z", "+02:00", "-05", " UTC"])
@pytest.mark.parametrize("table", ["icu/icustays", "icu/chartevents", "icu/outputevents"])
def test_times_with_a_zone(tmp_path: Path, table: str, zone: str) -> None:
    head, rows = small_mimic.tables()[table]
    place = head.split(",").index("intime" if table.endswith("stays") else "charttime")
    zoned = [(*row[:place], f"{row[place]}{zone}", *row[place + 1 :]) for row in rows]
    # rows of text are not looked at
    written = sum(str(row[place])[:1].isdigit() and row[-2] != "" for row in rows)
    assert f"{written} time{'s' * (written > 1)} with a time zone" in build_error(
        tmp_path, {table: (head, zoned)}
    )


def test_one_outcome_only_is_noted(tmp_path: Path) -> None:
    head, rows = small_mimic.tables()["hosp/patients"]
    alive = [(*row[:3], "") for row in rows]
    assert ONE_CLASS_NOTE in build(tmp_path, {"hosp/patients": (head, alive)}).notes
    assert read_built(tmp_path).one_class


def test_no_stay_is_left(tmp_path: Path) -> None:
    head, rows = small_mimic.tables()["icu/icustays"]
    message = build_error(tmp_path, {"icu/icustays": (head, rows[3:4])})
    assert "no stay is left for the cohort (1: is shorter than window and gap)" in message


def test_no_stay_at_all(tmp_path: Path) -> None:
    head, _ = small_mimic.tables()["icu/icustays"]
    assert "(there were none)" in build_error(tmp_path, {"icu/icustays": (head, [])})


def test_a_table_that_is_cut_short(tmp_path: Path) -> None:
    folder = small_mimic.mimic_iv(tmp_path / "mimic")
    path = folder / "icu" / "chartevents.csv.gz"
    path.write_bytes(path.read_bytes()[:200])
    reader = MimicReader("mimic-iv", folder, small_mimic.icd_map(tmp_path))
    with pytest.raises(PatientDxError, match=r"chartevents\.csv\.gz: cannot be read"):
        build_cohort(reader, tmp_path / "c.parquet")


def test_an_empty_table(tmp_path: Path) -> None:
    folder = small_mimic.mimic_iv(tmp_path / "mimic", suffix=".csv")
    (folder / "icu" / "d_items.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"d_items\.csv:1: the table is empty"):
        build_cohort(MimicReader("mimic-iv", folder), tmp_path / "c.parquet")


def test_a_row_of_another_shape_shows_its_place_not_its_content(tmp_path: Path) -> None:
    folder = small_mimic.mimic_iv(tmp_path / "mimic", suffix=".csv")
    path = folder / "icu" / "chartevents.csv"
    path.write_text(
        path.read_text() + f"21,{SECRET},1,2,3,4,{SECRET},5,6,7\n" * 3, encoding="utf-8"
    )
    reader = MimicReader("mimic-iv", folder, small_mimic.icd_map(tmp_path))
    with pytest.raises(InputError, match=r"chartevents\.csv:[0-9]+: the table cannot be read") as c:
        build_cohort(reader, tmp_path / "c.parquet")
    assert SECRET not in f"{c.value.message} {c.value.hint} {c.value.__cause__}"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "icd9cm\n4280\n"])
def test_a_map_without_its_columns(tmp_path: Path, text: str) -> None:
    folder, path = small_mimic.mimic_iv(tmp_path / "mimic"), tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"map\.csv:1: no columns of ICD-9 and ICD-10"):
        build_cohort(MimicReader("mimic-iv", folder, path), tmp_path / "c.parquet")


def test_settings_that_contradict_themselves() -> None:
    with pytest.raises(UsageError, match="48 h cannot be cut into bins of 5 h"):
        CohortSettings(bin_hours=5)
    with pytest.raises(UsageError, match="percentiles must satisfy"):
        CohortSettings(outlier_low_percentile=99)
    with pytest.raises(UsageError, match="shares lie between"):
        CohortSettings(unit_share=1.5)


def test_memory_and_folders_that_cannot_be_used(tmp_path: Path) -> None:
    assert "memory limit" in build_error(tmp_path, options=DatabaseOptions(memory="plenty"))
    assert "no spill folder" in build_error(
        tmp_path, options=DatabaseOptions(spill=tmp_path / "nowhere")
    )


def test_events_of_a_stay_of_unknown_id_and_far_away(tmp_path: Path) -> None:
    head = small_mimic.tables()["icu/outputevents"][0]
    rows = [("x", at("1:00"), 1), (21, "2250-01-01 00:00:00", 1), (21, "", 1)]
    meta = build(tmp_path, {"icu/outputevents": (head, rows)})
    flow = {step.step: step.dropped for step in meta.flow if step.of == "output events"}
    assert flow == {
        "all": 0,
        "belongs to no stay of an adult": 1,
        "has no readable time or item": 1,
        "lies outside its stay": 1,
    }


def test_the_file_is_its_owner_s_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "cohort.parquet").write_bytes(b"old")
    (tmp_path / "cohort.parquet").chmod(0o644)
    build(tmp_path)
    assert (tmp_path / "cohort.parquet").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cohort.parquet",
        "icd.txt",
        "mimic",
    ]
