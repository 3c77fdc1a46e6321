"""What cannot be added, deleted or built: it is said, and nothing changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from small_index import TINY, check_index, notes

from indexer.writer import add_patients, build_index, delete_patients
from patientdx.errors import IndexFolderError, InputError, NotFoundError
from patientdx.records import Patient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(tmp_path / "index", notes(0, 30), layout=TINY)
    return tmp_path / "index"


def failing() -> Iterator[Patient]:
    yield Patient("new", "w1")
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("patients", "error"),
    [
        ([Patient("new", "w1"), Patient("p7", "w1")], InputError),
        ([Patient("new", "w1"), Patient("new", "w2")], InputError),
        ([Patient("new", "w1 \ud800")], InputError),
        ([Patient("n\udfff", "w1")], InputError),
        ([Patient("new", "w1", metadata={"field": "\ud800"})], InputError),
        ([Patient("new", "w1", metadata={"\ud800": "x"})], InputError),
        ([], InputError),
        (failing(), ZeroDivisionError),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    folder: Path, patients: Iterator[Patient], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add_patients(folder, patients)
    check_index(folder, notes(0, 30))


@pytest.mark.parametrize(
    ("patients", "error"),
    [([], InputError), ([Patient("a", "...")], InputError), (failing(), ZeroDivisionError)],
)
def test_a_build_that_fails_leaves_nothing(
    tmp_path: Path, patients: Iterator[Patient], error: type[Exception]
) -> None:
    with pytest.raises(error):
        build_index(tmp_path / "index", patients)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_changes_nothing(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="no patient `nobody`"):
        delete_patients(folder, ["p1", "nobody"])
    delete_patients(folder, ["p1"])
    with pytest.raises(NotFoundError, match="no patient `p1`"):
        delete_patients(folder, ["p1"])
    check_index(folder, [patient for patient in notes(0, 30) if patient.patient_id != "p1"])


def test_where_an_index_may_be_built(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds an index already"):
        build_index(folder, notes(0, 3))
    check_index(folder, notes(0, 30))
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for replace_existing in (False, True):
        with pytest.raises(InputError, match="is not an index"):
            build_index(other, notes(0, 3), replace_existing=replace_existing)
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    with pytest.raises(IndexFolderError):
        build_index(other / "mine.txt", notes(0, 3))
    (tmp_path / "empty").mkdir()
    build_index(tmp_path / "empty", notes(0, 3))
    check_index(tmp_path / "empty", notes(0, 3))


def test_rows_that_are_no_patients_are_refused(tmp_path: Path) -> None:
    rows: Any = [{"_id": "1", "text": "fever"}]
    with pytest.raises(InputError, match="of `Patient` objects, not of dict") as refusal:
        build_index(tmp_path / "index", rows)
    assert "Patient(" in str(refusal.value.hint)
    assert not (tmp_path / "index").exists()
    build_index(tmp_path / "index", [Patient("1", "fever")])
    with pytest.raises(InputError, match="of `Patient` objects, not of str"):
        add_patients(tmp_path / "index", cast("Any", ["fever"]))
