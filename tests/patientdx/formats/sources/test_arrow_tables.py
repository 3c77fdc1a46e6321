"""Patients out of Parquet and Arrow files."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import ExtraMissingError, InputError, PatientDxError
from patientdx.formats import SkippedRows, read_patients
from patientdx.formats.sources import arrow_tables
from patientdx.records import Patient

pa: Any = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")

Write = Callable[[Any, Path], None]


def write_parquet(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path, row_group_size=3)


def write_feather(table: Any, path: Path) -> None:
    from pyarrow import feather

    feather.write_feather(table, path, compression="zstd")


def write_stream(table: Any, path: Path) -> None:
    from pyarrow import ipc

    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


WRITERS = [write_parquet, write_feather, write_stream]


@pytest.mark.parametrize("write", WRITERS)
def test_typed_columns_become_patients(tmp_path: Path, write: Write) -> None:
    table = pa.table({
        "id": pa.array([1, 2, 3, 4, 5], pa.int64()),
        "text": pa.array(["a cough", "b", "c", "d", "e"], pa.large_string()).dictionary_encode(),
        "age": pa.array([61.5, None, float("nan"), 3.0, 4.0]),
        "sex": pa.array(["F", None, "M", "F", "M"]).dictionary_encode(),
        "ward": pa.array([b"W1", b"\xff", None, b"W2", b"W3"]),
        "stay": pa.array([Decimal(7), Decimal("7.5"), None, None, None], pa.decimal128(9, 2)),
        "seen": pa.array([datetime.date(2180, 5, 7)] + [None] * 4),
        "at": pa.array([1_000_000_000_000_000_001] + [None] * 4, pa.timestamp("ns")),
        "ok": pa.array([True, None, None, None, False]),
    })  # fmt: skip
    path = tmp_path / "notes.data"  # recognised by content
    write(table, path)
    first, second, third, *_, last = read_patients(path)
    assert first == Patient(
        "1",
        "a cough",
        age_years=61.5,
        sex="F",
        metadata={
            "ward": "W1",
            "stay": 7,
            "seen": "2180-05-07",
            "at": "2001-09-09T01:46:40",
            "ok": True,
        },
    )
    assert (second.age_years, second.sex, second.metadata) == (None, None, {"stay": 7.5})
    assert (third.patient_id, third.age_years, third.sex) == ("3", None, "M")
    assert last.metadata == {"ward": "W3", "ok": False}


@pytest.mark.parametrize("write", WRITERS)
def test_bad_rows_are_named_by_their_number_or_counted(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "notes"
    write(pa.table({"_id": ["a", None, "c", "a"], "text": ["x", "x", "x", "x"]}), path)
    with pytest.raises(InputError, match=r"notes:2: field `_id` is missing"):
        list(read_patients(path))
    skip = SkippedRows()
    assert [patient.patient_id for patient in read_patients(path, skip_bad=skip)] == ["a", "c"]
    assert skip.count == 2
    assert skip.messages[1].endswith("notes:4: id `a` appeared on line 1 already")


def test_lists_and_structs_are_read_as_json_would_be(tmp_path: Path) -> None:
    path = tmp_path / "pmc.parquet"
    row = {"patient_uid": "7-1", "PMID": "9", "patient": "x", "similar_patients": {"8-1": 1}}
    write_parquet(pa.Table.from_pylist([{**row, "age": "[[3.0, 'month']]"}]), path)
    (patient,) = read_patients(path)
    assert (patient.patient_id, patient.age_years) == ("7-1", 0.25)
    assert patient.metadata == {"PMID": "9"}


def test_memory_holds_a_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain_rows = arrow_tables._plain_rows

    def spy(batch: Any) -> Any:
        sizes.append(batch.num_rows)
        return plain_rows(batch)

    monkeypatch.setattr(arrow_tables, "_plain_rows", spy)
    table = pa.table({"_id": [str(i) for i in range(1000)], "text": ["x"] * 1000})
    for write in (write_feather, write_parquet):
        write(table, tmp_path / "notes")
        assert [p.patient_id for p in read_patients(tmp_path / "notes")] == table["_id"].to_pylist()
    assert max(sizes) <= 32


def test_one_text_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_tables, "_LARGEST", 10)
    write_parquet(pa.table({"_id": ["a", "b"], "text": ["x" * 11, "x"]}), tmp_path / "n")
    with pytest.raises(InputError, match="n:1: a text has more than 64 MiB"):
        list(read_patients(tmp_path / "n"))
    skip = SkippedRows()
    assert len(list(read_patients(tmp_path / "n", skip_bad=skip))) == skip.count == 1


def test_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"], ["c"]], names=["_id", "text", "text"])
    write_stream(table, tmp_path / "n")
    with pytest.raises(InputError, match="columns 2 and 3 have the same name"):
        list(read_patients(tmp_path / "n"))


def test_without_the_extra_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(pa.table({"_id": ["a"], "text": ["x"]}), tmp_path / "n")
    monkeypatch.setattr("patientdx.capabilities.find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError) as caught:
        list(read_patients(tmp_path / "n"))
    assert "patientdx[parquet]" in (caught.value.hint or "")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    write=st.sampled_from(WRITERS),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
)
def test_damaged_files_give_patients_or_a_sentence(
    tmp_path: Path, write: Write, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path / "n"
    write(pa.table({"_id": ["a", "b", "c"], "text": ["fever", "cough", "pain"]}), path)
    data = bytearray(path.read_bytes())
    for place, change in flips:
        data[min(int(place * len(data)), len(data) - 1)] ^= change
    path.write_bytes(data[: 8 + int(cut * len(data))])
    try:
        fine = all(patient.patient_id and patient.text for patient in read_patients(path))
    except PatientDxError as error:
        fine = error.message.startswith(str(path))
    assert fine
