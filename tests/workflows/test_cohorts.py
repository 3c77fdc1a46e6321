"""Cohorts from Python: the same files as those of the command line, and nothing printed."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import small_mimic
from command_line import run_successfully
from recording_monitor import RecordingMonitor
from small_cohorts import meds, physionet

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

from evaluator.cohorts import read_cohort
from evaluator.cohorts.sources.meds import MedsCodes
from patientdx.errors import InputError, UsageError
from workflows.cohorts import build_cohort, cohort_source, describe_cohort


def make_source(name: str, folder: Path) -> tuple[Path, dict[str, Any], tuple[object, ...]]:
    """The folder of a source's tables, its inputs for Python, and for the command line."""
    tables = folder / name
    if name == "physionet2012":
        return physionet(tables), {"subset": "a"}, ("--set", "A")
    if name == "meds":
        meds(tables)
        labels = tables / "labels.parquet"
        codes = MedsCodes(procedure_codes="^NONE")
        return (
            tables, {"labels": labels, "codes": codes},
            ("--labels", labels, "--procedure-codes", "^NONE"),
        )  # fmt: skip
    {"mimic-iv": small_mimic.mimic_iv, "mimic-iii": small_mimic.mimic_iii}[name](tables)
    icd_map = small_mimic.icd_map(folder)
    return tables, {"icd_map": icd_map}, ("--icd-map", icd_map)


@pytest.mark.parametrize("name", ["mimic-iv", "mimic-iii", "physionet2012", "meds"])
def test_python_and_the_command_line_build_the_same_cohort(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables, inputs, arguments = make_source(name, tmp_path)
    monitor = RecordingMonitor()
    into = tmp_path / "python.parquet"
    settings = replace(cohort_source(name).defaults, bin_hours=4)
    meta = build_cohort(name, tables, into, settings=settings, monitor=monitor, **inputs)
    assert capsys.readouterr() == ("", "")
    assert monitor.notices[-1] == "writing"
    command = ("cohort", name, tables, "--into", tmp_path / "command.parquet", "--bin-hours", 4)
    run_successfully(*command, *arguments)
    ours, theirs = read_cohort(into), read_cohort(tmp_path / "command.parquet")
    assert list(ours) == list(theirs)
    assert ours.meta == theirs.meta
    assert meta.source == name
    assert dict(ours.meta.settings) == asdict(settings)


def test_settings_default_to_those_of_the_source(tmp_path: Path) -> None:
    tables, inputs, _ = make_source("meds", tmp_path)
    meta = build_cohort("meds", str(tables), str(tmp_path / "c.parquet"), **inputs)
    assert meta.settings["diagnoses"] == "prior"
    assert meta.settings["gap_hours"] == 0


def test_ids_are_redacted_by_a_key(tmp_path: Path) -> None:
    tables = physionet(tmp_path / "p")
    key, into = tmp_path / "key", tmp_path / "c.parquet"
    key.write_text("0123456789abcdef", encoding="utf-8")
    build_cohort("physionet2012", tables, into, redact_ids=True, key_file=key)
    ids = read_cohort(into).stay_ids
    assert all(len(stay_id) == 32 for stay_id in ids)
    options = ("--into", into, "--redact-ids", "--key-file", key)
    run_successfully("cohort", "physionet2012", tables, *options, "--force")
    assert read_cohort(into).stay_ids == ids
    assert build_cohort("physionet2012", tables, into, redact_ids=True).redacted
    assert read_cohort(into).stay_ids != ids


def test_what_cannot_be_built_is_an_error(tmp_path: Path) -> None:
    into = tmp_path / "c.parquet"
    with pytest.raises(UsageError, match="`mimic` is no source of cohorts"):
        build_cohort("mimic", tmp_path, into)
    with pytest.raises(UsageError, match="a key file has no effect"):
        build_cohort("physionet2012", tmp_path, into, key_file=tmp_path / "key")
    with pytest.raises(InputError, match="no table"):
        build_cohort("mimic-iv", tmp_path, into)
    with pytest.raises(TypeError, match="labels"):
        build_cohort("physionet2012", tmp_path, into, labels=tmp_path)
    assert not into.exists()


def test_python_and_the_command_line_describe_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.parquet"
    build_cohort("physionet2012", physionet(tmp_path / "p"), path)
    summary = describe_cohort(path)
    assert capsys.readouterr() == ("", "")
    assert list(summary.records) == ["mortality", "mortality-hard"]
    assert summary.records["mortality"].stays == 2
    assert summary.counted_by == "words and marks"
    shown = run_successfully("cohort", "show", path, "--json").json
    assert {name: value | {"sections": tuple(value["sections"])}
            for name, value in shown["records"].items()} == {
        name: asdict(records) for name, records in summary.records.items()
    }  # fmt: skip
    assert shown["source"] == summary.meta.source
    assert list(describe_cohort(str(path), ["charts"]).records) == ["charts"]
    with pytest.raises(UsageError, match="no such sections"):
        describe_cohort(path, ["weather"])
