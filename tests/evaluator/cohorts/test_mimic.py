"""The cohort of a miniature MIMIC, rule by rule and to the digit."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_mimic
from small_mimic import at

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from evaluator.cohorts import Cohort, FlowStep, Measurement, Stay, read_cohort
from evaluator.cohorts.builder import build_cohort
from evaluator.cohorts.database import DatabaseOptions
from evaluator.cohorts.settings import LEAK_NOTE, PAPER_SETTINGS
from evaluator.cohorts.sources.mimic import MimicReader
from evaluator.mortality.features import extract_features


def build(tmp_path: Path, source: str = "mimic-iv", **settings: Any) -> Cohort:
    folder = tmp_path / source
    if not folder.exists():
        make = {"mimic-iv": small_mimic.mimic_iv, "mimic-iii": small_mimic.mimic_iii}[source]
        make(folder)
    into = tmp_path / "cohort.parquet"
    icd = small_mimic.icd_map(tmp_path)
    build_cohort(MimicReader(source, folder, icd), into, replace(PAPER_SETTINGS, **settings))
    return read_cohort(into)


def stay_21(cohort: Cohort) -> Stay:
    (stay,) = [stay for stay in cohort if stay.stay_id == "21"]
    return stay


def means(stay: Stay) -> dict[str, float]:
    return {chart.name: chart.mean for chart in stay.charts}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return build(tmp_path_factory.mktemp("mimic"))


def test_who_belongs_to_it_and_who_died(cohort: Cohort) -> None:
    outcomes = {stay.stay_id: stay.died for stay in cohort}
    assert outcomes == {"11": True, "21": False, "51": False, "61": False}
    assert cohort.stay_ids == ("11", "21", "51", "61")
    assert cohort.subject_ids == ("1", "2", "5", "6")
    assert cohort.deaths == 1
    assert cohort.age.tolist() == [70, 50, 91, 40]
    assert cohort.sex == ("F", "M", "F", "M")
    assert set(cohort.unit) == {"Medical ICU"}


def test_the_flow_of_stays(cohort: Cohort) -> None:
    flow = [step[1:] for step in cohort.meta.flow if step.of == "stays"]
    assert flow == [
        ("all", 0, 13),
        ("has no stay id", 1, 12),
        ("repeats the id of another stay", 1, 11),
        ("lacks the time of arrival or of leaving", 1, 10),
        ("ends before it begins", 1, 9),
        ("belongs to no known patient", 1, 8),
        ("belongs to no known admission", 1, 7),
        ("is of unknown or impossible age", 1, 6),
        ("is younger than the least age", 1, 5),
        ("is shorter than window and gap", 1, 4),
    ]


def test_the_flow_of_events(cohort: Cohort) -> None:
    flow = {(step.of, step.step): step.dropped for step in cohort.meta.flow if step.dropped}
    events = {step: dropped for (of, step), dropped in flow.items() if of == "chart events"}
    assert events == {
        "has no number": 1,
        "has an unreadable number": 2,
        "belongs to no stay of an adult": 32,
        "has no readable time or item": 1,
        "is repeated": 1,
        "is in a minority unit": 1,
        "is an outlier": 1,
        "belongs to a stay that is too short": 1,
        "lies outside its stay": 2,
        "lies after the window": 1,
    }
    assert {step: n for (of, step), n in flow.items() if of == "medications"} == {
        "belongs to no stay of an adult": 1,
        "belongs to a stay that is too short": 1,
        "lacks item, order, time, amount or rate": 1,
        "ends within the hour it begins in": 1,
        "begins outside its stay": 1,
        "begins after the window": 1,
    }
    last: dict[str, FlowStep] = {step.of: step for step in cohort.meta.flow}
    assert last["chart events"].left == 5 + 3 + 49 + 20 + 20 + 3
    assert last["medications"].left == 3
    assert (last["procedures"].left, last["output events"].left) == (2, 1)


def test_bins_of_two_hours_filled_forward_then_backward(cohort: Cohort) -> None:
    charts = means(stay_21(cohort))
    # bins 0: 85, 2: 100, 23: 60 -> 2 x 85, 21 x 100, 1 x 60
    assert charts["Heart Rate"] == (2 * 85 + 21 * 100 + 60) / 24
    # bins 2: 100, 5: 50; bins 0 and 1 take the first
    assert charts["Blood Pressure"] == (5 * 100 + 19 * 50) / 24
    stay = stay_21(cohort)
    rates = [bin_ for bin_ in stay.bins if stay.charts[bin_.chart].name == "Heart Rate"]
    assert [(bin_.number, bin_.value) for bin_ in rates] == [(0, 85), (2, 100), (23, 60)]


def test_outliers_units_and_repeats(cohort: Cohort) -> None:
    charts = means(stay_21(cohort))
    # 1 to 49 are left; were the short stay's 50 and 51 not counted, 49 would go too
    assert charts["Glucose"] == 25
    assert charts["Temperature"] == 98.5
    assert charts["Weight"] == (4 * 80 + 20 * 70) / 24
    assert charts["Repeated"] == 3


def test_the_percentile_can_be_chosen(tmp_path: Path) -> None:
    # of 1 to 51 the 10th percentile is 6, the 50th 26
    chosen = build(tmp_path, outlier_percentile=50.0, outlier_low_percentile=10.0)
    assert means(stay_21(chosen))["Glucose"] == 16
    everything = build(tmp_path, outlier_percentile=100.0, unit_share=1.0)
    assert means(stay_21(everything))["Temperature"] == pytest.approx(
        (98.5 + 23 * 37) / 24, abs=1e-12
    )


@pytest.mark.parametrize(
    ("imputation", "pressure"), [("forward-mean", (300 + 950) / 22), ("none", 75.0)]
)
def test_other_imputations(tmp_path: Path, imputation: str, pressure: float) -> None:
    assert means(stay_21(build(tmp_path, imputation=imputation)))["Blood Pressure"] == pressure


def test_other_bins_and_windows(tmp_path: Path) -> None:
    # bins of 6 hours: 0: (80 + 90 + 100 + 100) / 4; the window of 24 hours ends before the rest
    shorter = build(tmp_path, window_hours=24, bin_hours=6)
    assert means(stay_21(shorter))["Heart Rate"] == 92.5
    assert shorter.meta.settings["window_hours"] == 24
    assert "31" in shorter.stay_ids


def test_medications_run_until_they_end_or_the_next_begins(cohort: Cohort, tmp_path: Path) -> None:
    # norepinephrine: 10 in bin 0, 20 in bin 1, ended before bin 2; propofol: 12 in bins 20 to 23
    assert stay_21(cohort).medications == (
        Measurement("Norepinephrine", 30 / 24),
        Measurement("Propofol", 48 / 24),
    )
    rates = build(tmp_path, medication="rate")
    assert stay_21(rates).medications[1] == Measurement("Propofol", 8 / 24)


def test_procedures_and_outputs_are_those_of_the_window(cohort: Cohort) -> None:
    assert stay_21(cohort).procedures == ("Ventilation",)
    assert stay_21(cohort).outputs == ("Foley",)


def test_diagnoses_are_families_of_icd10_once_each_in_order(cohort: Cohort) -> None:
    stay = stay_21(cohort)
    assert stay.diagnosis_codes == ("I10", "I50", "I12")
    assert stay.diagnoses == ("Hypertension", "Heart failure", "Hypertensive kidney disease")
    assert LEAK_NOTE in cohort.meta.notes
    assert "1 of 6 coded diagnoses have no ICD-10 root and are left out" in cohort.meta.notes


def test_diagnoses_of_earlier_admissions_do_not_leak(tmp_path: Path) -> None:
    prior = build(tmp_path, diagnoses="prior")
    assert stay_21(prior).diagnoses == ("Diabetes",)
    assert LEAK_NOTE not in prior.meta.notes
    assert stay_21(build(tmp_path, diagnoses="none")).diagnoses == ()


def test_icd9_can_be_kept(tmp_path: Path) -> None:
    kept = stay_21(build(tmp_path, convert_icd9=False))
    assert kept.diagnosis_codes == ("I10", "I50", "428", "403", "V45")
    assert kept.diagnoses[2] == "Congestive heart failure"


def test_the_rest_of_a_stay(cohort: Cohort) -> None:
    stay = stay_21(cohort)
    assert (stay.age, stay.sex, stay.race, stay.insurance) == (50, "M", "WHITE", "Medicare")
    assert "3 of 4 stays have no event in the window; they are kept" in cohort.meta.notes


def test_parts_give_what_the_whole_gives(cohort: Cohort, tmp_path: Path) -> None:
    """The quantities are worked through in parts, so that memory stays bounded."""
    into, folder = tmp_path / "parts.parquet", small_mimic.mimic_iv(tmp_path / "mimic")
    build_cohort(
        MimicReader("mimic-iv", folder, small_mimic.icd_map(tmp_path)),
        into,
        database_options=DatabaseOptions(memory="256MB", threads=1, rows_per_part=7),
    )
    parts = read_cohort(into)
    assert list(parts) == list(cohort)
    assert parts.meta == cohort.meta


def test_mimic_iii_gives_the_same_stays(cohort: Cohort, tmp_path: Path) -> None:
    third = build(tmp_path, "mimic-iii")
    assert third.stay_ids == cohort.stay_ids
    assert third.died.tolist() == cohort.died.tolist()
    assert third.age.tolist() == cohort.age.tolist()
    ours, theirs = stay_21(third), stay_21(cohort)
    assert (ours.charts, ours.medications) == (theirs.charts, theirs.medications)
    assert (ours.procedures, ours.outputs) == (theirs.procedures, theirs.outputs)
    assert ours.diagnosis_codes == ("I50", "I12")
    # CareVue: 24 charted at 2:30 counts for the hour after it, so for bin 1
    (first,) = [stay for stay in third if stay.stay_id == "11"]
    assert first.medications == (Measurement("Propofol", 1.0),)


def test_version_1_and_tables_beside_each_other(cohort: Cohort, tmp_path: Path) -> None:
    old, flat = tmp_path / "old", tmp_path / "flat"
    for name, table in small_mimic.tables("ethnicity").items():
        module, _, file = name.partition("/")
        core = "core" if file in {"patients", "admissions"} else module
        small_mimic.put(old / "mimic-iv-1.0" / core / f"{file}.csv.gz", *table)
        rebuilt = f"{file}.rebuilt" if file == "chartevents" else file
        small_mimic.put(flat / f"{rebuilt}.csv", *table)
    odd = tmp_path / "odd [1]* 'x' Ü"
    shutil.copytree(flat, odd)
    for folder in (old, flat, odd):
        into = tmp_path / "cohort.parquet"
        build_cohort(MimicReader("mimic-iv", folder, small_mimic.icd_map(tmp_path)), into)
        assert list(read_cohort(into)) == list(cohort)


def test_what_is_absurd_is_counted_and_does_no_harm(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [
        (21, at("1:00"), small_mimic.HEART_RATE, value, "bpm")
        for value in ("1e400", "-1e308", "nan", "NULL", "80;DROP TABLE stays", 80, 80)
    ]
    rows += [(21, time, small_mimic.HEART_RATE, 80, "bpm") for time in ("0001-01-01", "9999-99-99")]
    rows += [(21, at("1:00"), "99999999999999", 80, "bpm"), (-5, at("1:00"), "x", 80, "bpm")]
    head = small_mimic.tables()["icu/chartevents"][0]
    folder = small_mimic.mimic_iv(tmp_path / "mimic-iv", change={"icu/chartevents": (head, rows)})
    assert folder.exists()
    absurd = build(tmp_path)
    assert means(stay_21(absurd))["Heart Rate"] == 80
    flow = {step.step: step.dropped for step in absurd.meta.flow if step.of == "chart events"}
    assert flow["has an unreadable number"] == 5
    assert flow["has no readable time or item"] == 2
    assert flow["lies outside its stay"] == 1
    assert flow["is repeated"] == 1


def test_features_are_statistics_of_the_bins(cohort: Cohort) -> None:
    names, matrix = extract_features(cohort)
    row = dict(zip(names, matrix[cohort.stay_ids.index("21")].tolist(), strict=True))
    statistics = {
        name: row[f"Heart Rate: {name}"] for name in ("least", "greatest", "first", "last")
    }
    assert statistics == {"least": 60, "greatest": 100, "first": 85, "last": 60}
    assert row["Heart Rate: mean"] == pytest.approx((85 + 100 + 60) / 3, rel=1e-6)
    assert (row["Heart Rate: bins"], row["age"], row["female"]) == (3, 50, 0)
    assert (row["Propofol: given"], row["Ventilation: done"]) == (2, 1)
    other = dict(zip(names, matrix[cohort.stay_ids.index("51")].tolist(), strict=True))
    assert math.isnan(other["Heart Rate: mean"])
    assert (other["Heart Rate: bins"], other["Propofol: given"], other["female"]) == (0, 0, 1)
    assert not any("failure" in name for name in names)
