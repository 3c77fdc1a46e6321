"""The cohort file: what goes in comes out, for its owner alone, whole or not at all."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from evaluator.cohorts import (
    Bin,
    CohortMeta,
    FlowStep,
    Measurement,
    Stay,
    read_cohort,
    write_cohort,
)
from evaluator.mortality.features import extract_features
from patientdx import __version__
from patientdx.errors import InputError

META = CohortMeta(
    "test", {"window_hours": 48}, (FlowStep("stays", "all", 0, 2),), ("a note",), redacted=True
)

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=12)
unknown = st.none() | names
measured = st.lists(st.builds(Measurement, names, finite), max_size=4).map(tuple)
bins = st.lists(
    st.builds(Bin, st.integers(0, 3), st.integers(0, 23), st.floats(width=32, allow_nan=False)),
    max_size=5,
).map(tuple)
several = st.lists(names, max_size=3).map(tuple)
stays = st.builds(
    Stay,
    names,
    names,
    died=st.booleans(),
    age=st.none() | finite,
    sex=unknown,
    unit=unknown,
    race=unknown,
    insurance=unknown,
    diagnosis_codes=several,
    diagnoses=several,
    charts=measured,
    medications=measured,
    procedures=several,
    outputs=several,
    bins=bins,
)


@given(st.lists(stays, max_size=4))
@settings(max_examples=40)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, rows: list[Stay]) -> None:
    path = tmp_path_factory.mktemp("cohort") / "cohort.parquet"
    write_cohort(path, iter(rows), META)
    cohort = read_cohort(path)
    assert list(cohort) == rows
    assert len(cohort) == len(rows)
    assert cohort.stay_ids == tuple(stay.stay_id for stay in rows)
    assert cohort.died.tolist() == [stay.died for stay in rows]
    assert cohort.meta.flow == META.flow
    assert cohort.meta.version == __version__
    assert cohort.one_class == (len({stay.died for stay in rows}) < 2)


def test_many_row_groups(tmp_path: Path) -> None:
    rows = [Stay(str(n), str(n % 7), died=n % 3 == 0, age=float(n)) for n in range(2500)]
    write_cohort(tmp_path / "c.parquet", rows, META)
    cohort = read_cohort(tmp_path / "c.parquet")
    assert list(cohort) == rows
    assert pq.ParquetFile(cohort.path).num_row_groups == 3
    assert extract_features(cohort).values[:, 0].tolist() == [stay.age for stay in rows]


def test_a_medication_without_a_number(tmp_path: Path) -> None:
    stay = Stay("1", "1", died=True, medications=(Measurement("Aspirin", math.nan),))
    write_cohort(tmp_path / "c.parquet", [stay], META)
    cohort = read_cohort(tmp_path / "c.parquet")
    (medication,) = next(iter(cohort)).medications
    assert math.isnan(medication.mean)
    features = extract_features(cohort)
    assert np.nan_to_num(features.values[0], nan=-1).tolist() == [-1, -1, -1]


def test_a_cohort_does_not_print_what_it_holds(tmp_path: Path) -> None:
    stay = Stay("30001234", "10001234", died=True, race="WHITE")
    write_cohort(tmp_path / "c.parquet", [stay], META)
    for shown in (repr(read_cohort(tmp_path / "c.parquet")), repr(stay), str(stay)):
        assert "1234" not in shown
        assert "WHITE" not in shown


def test_the_mode_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.touch(0o644)
    write_cohort(path, [], META)
    assert path.stat().st_mode & 0o777 == 0o600


def test_files_that_are_no_cohort(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    with pytest.raises(InputError, match="no such file") as caught:
        read_cohort(path)
    assert "cohort mimic-iv" in str(caught.value.hint)
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(InputError, match="no cohort file, or it is damaged"):
        read_cohort(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="this Parquet file is no cohort"):
        read_cohort(path)


def test_a_file_of_a_later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.cohorts.writer.VERSION", 99)
    write_cohort(tmp_path / "c.parquet", [], META)
    monkeypatch.undo()
    with pytest.raises(InputError, match="later version"):
        read_cohort(tmp_path / "c.parquet")


WRITER = """
import sys, time
from pathlib import Path
from evaluator.cohorts import CohortMeta, Stay, write_cohort

def stays():
    for n in range(3000):
        yield Stay(str(n), str(n), died=True)
        if n == 2500:
            print("written", flush=True)
            time.sleep(60)

write_cohort(Path(sys.argv[1]), stays(), CohortMeta("killed"))
"""


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_cohort(path, [Stay("old", "old", died=False)], META)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], cwd=ROOT, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert read_cohort(path).stay_ids == ("old",)
    (partial,) = [file for file in tmp_path.iterdir() if file != path]
    assert partial.stat().st_mode & 0o777 == 0o600
