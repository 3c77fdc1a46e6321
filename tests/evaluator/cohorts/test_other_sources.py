"""Cohorts of PhysioNet 2012 and of MEDS folders."""

from pathlib import Path
from typing import Any

import pytest
from paths import SHARED
from small_cohorts import meds, physionet, physionet_records

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

import pyarrow as pa

from evaluator.cohorts import Cohort, Measurement, read_cohort
from evaluator.cohorts.builder import build_cohort
from evaluator.cohorts.settings import CohortSettings
from evaluator.cohorts.sources.meds import MedsReader
from evaluator.cohorts.sources.physionet import PhysioNetReader
from evaluator.mortality.features import extract_features
from patientdx.errors import InputError


def flow(cohort: Cohort, of: str) -> dict[str, int]:
    return {step.step: step.dropped for step in cohort.meta.flow if step.of == of and step.dropped}


@pytest.mark.parametrize("make", [physionet, physionet_records])
def test_physionet(tmp_path: Path, make: Any) -> None:
    build_cohort(PhysioNetReader(make(tmp_path / "set")), tmp_path / "c.parquet")
    cohort = read_cohort(tmp_path / "c.parquet")
    first, second = cohort
    assert (first.age, first.sex, first.unit, first.died) == (54, "F", "Surgical ICU", False)
    assert (second.age, second.sex, second.unit, second.died) == (80, None, None, True)
    # bins 0: 75, 3: 80
    assert first.charts == (Measurement("HR", (3 * 75 + 21 * 80) / 24), Measurement("Urine", 200))
    assert (first.procedures, first.outputs) == (("MechVent",), ("Urine",))
    assert second.charts == (Measurement("Weight", 81.5),)
    assert flow(cohort, "stays") == {
        "repeats the id of another stay": 1,
        "has no known outcome": 1,
        "belongs to no known patient": 1,
    }
    dropped = flow(cohort, "measurements")
    assert dropped["is marked as missing"] == 2
    assert dropped["lies after the window"] == 1
    assert dropped["belongs to no stay"] == 1


def test_physionet_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table outcomes-a, set-a"):
        build_cohort(PhysioNetReader(tmp_path), tmp_path / "c.parquet")
    (tmp_path / "set-a").mkdir()
    physionet(tmp_path)
    with pytest.raises(InputError, match="no records"):
        build_cohort(PhysioNetReader(tmp_path), tmp_path / "c.parquet")


def test_meds(tmp_path: Path) -> None:
    folder = meds(tmp_path / "meds")
    settings = CohortSettings(gap_hours=0, diagnoses="prior", outlier_percentile=100)
    build_cohort(MedsReader(folder, folder / "labels.parquet"), tmp_path / "c.parquet", settings)
    cohort = read_cohort(tmp_path / "c.parquet")
    first, second = cohort
    assert (first.stay_id, first.subject_id, first.died) == ("1-1", "1", True)
    assert (first.age, first.sex, first.race, first.unit) == (60, "F", "WHITE", "Medical ICU")
    # bins 0: 75, 4: 90, 23: 90
    assert first.charts == (Measurement("Heart rate", (4 * 75 + 20 * 90) / 24),)
    assert [(bin_.number, bin_.value) for bin_ in first.bins] == [(0, 75), (4, 90), (23, 90)]
    assert first.medications[0] == Measurement("INFUSION_START//221906", 2.5)
    assert [medication.name for medication in first.medications] == [
        "INFUSION_START//221906",
        "MEDICATION//Aspirin",
    ]
    assert (first.procedures, first.outputs) == (
        ("PROCEDURE//Vent",),
        ("SUBJECT_FLUID_OUTPUT//Foley",),
    )
    assert first.diagnoses == ("DIAGNOSIS//ICD//10//I10",)
    assert (second.stay_id, second.age, second.died) == ("4-1", None, False)
    assert flow(cohort, "stays") == {
        "has no prediction time": 1,
        "repeats the id of another stay": 1,
        "has no known outcome": 1,
        "belongs to no known patient": 1,
        "had ended in death before the prediction": 1,
        "is younger than the least age": 1,
    }


def test_meds_that_cannot_be_used(tmp_path: Path) -> None:
    zoned = meds(tmp_path / "zoned", time=pa.timestamp("us", tz="UTC"))
    with pytest.raises(InputError, match="times of `time` carry a time zone"):
        build_cohort(MedsReader(zoned, zoned / "labels.parquet"), tmp_path / "c.parquet")
    folder = meds(tmp_path / "meds")
    with pytest.raises(InputError, match="no column boolean_value, prediction_time"):
        build_cohort(MedsReader(folder, folder / "data"), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="no Parquet file; this is no MEDS folder"):
        build_cohort(
            MedsReader(physionet(tmp_path / "p"), folder / "labels.parquet"), tmp_path / "c.parquet"
        )
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        build_cohort(MedsReader(folder, tmp_path / "bad.parquet"), tmp_path / "c.parquet")
    assert not (tmp_path / "c.parquet").exists()


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "physionet2012").exists(), reason="needs ../shared/data")
def test_set_a_has_4000_stays_and_554_deaths(tmp_path: Path) -> None:
    build_cohort(PhysioNetReader(SHARED / "physionet2012"), tmp_path / "c.parquet")
    cohort = read_cohort(tmp_path / "c.parquet")
    assert (len(cohort), cohort.deaths) == (4000, 554)
    assert cohort.meta.flow[1].left == 1_678_892  # every row of the file
    assert extract_features(cohort).values.shape[0] == 4000
