"""Private files of rows: transactions, identity, and errors in the words of their format."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from patientdx.errors import CacheError
from patientdx.storage.row_store import Message, RowStore, StoreFormat

FORMAT = StoreFormat(
    table="numbers",
    schema="CREATE TABLE numbers (key BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
    application_id=0x1234,
    version=3,
    foreign=Message("not a store of numbers", "choose another"),
    other_version=Message("another version", "remove it"),
    damaged=Message("damaged", "remove it"),
    unusable=Message("not usable", "choose another"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.sqlite3"


def rows(count: int) -> list[tuple[bytes, int]]:
    return [(number.to_bytes(4, "big"), number) for number in range(count)]


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_rows_are_read_by_key_in_any_number(path: Path) -> None:
    stored = rows(1700)
    with RowStore(path, FORMAT) as store:
        store.write_rows([])
        store.write_rows(stored)
        store.write_rows([(stored[5][0], -5)])
    with RowStore(path, FORMAT) as store:
        assert len(store) == 1700
        rows_by_key = dict(store.read_rows([key for key, _ in stored] + [b"missing"]))
    assert rows_by_key == {**dict(stored), stored[5][0]: -5}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_write_stores_nothing(path: Path) -> None:
    with RowStore(path, FORMAT) as store:
        with pytest.raises(CacheError, match="damaged"):
            store.write_rows([(b"good", 1), (b"bad", None)])
        assert len(store) == 0
        store.write_rows([(b"good", 1)])
        assert list(store.read_rows([b"good"])) == [(b"good", 1)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA application_id = 7", "not a store of numbers"),
        ("PRAGMA user_version = 4", "another version"),
        ("DROP TABLE numbers", "damaged"),  # the identity is there, the table is not
    ],
)
def test_files_of_another_kind_are_refused(path: Path, statement: str, message: str) -> None:
    RowStore(path, FORMAT).close()
    change(path, statement)
    with pytest.raises(CacheError) as caught:
        RowStore(path, FORMAT)
    assert caught.value.message == f"{path}: {message}"
    assert caught.value.hint in {"choose another", "remove it"}


def test_a_foreign_file_is_left_as_it_was(path: Path) -> None:
    change(path, "CREATE TABLE patients (name)")
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(CacheError, match="not a store"):
        RowStore(path, FORMAT)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_place_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(CacheError) as caught:
        RowStore(tmp_path, FORMAT)
    assert caught.value.message == f"{tmp_path}: not usable: Is a directory"
    assert caught.value.hint == "choose another"
