"""Files that cannot be used: one sentence with file and line, a hint, and nothing changed."""

import gzip
import json
import zlib
from pathlib import Path

import pytest
from command_line import SECRET, Outcome, check_refusal, digests, patientdx, rows, run_successfully

ONE = {"_id": "n-1", "text": f"{SECRET} fever"}
GOOD = rows(ONE)
CSV = f"id,text\nn-1,{SECRET} fever\n".encode()
LATIN1 = f"{SECRET} caf\u00e9".encode("latin-1")

# Rows that cannot be used: what to call it, the file, its bytes, the line, what is said of it.
BAD_ROWS = [
    ("cut JSON", "x.jsonl", GOOD + b'{"_id": "n-2", "text": "Zaphod', 2, "malformed JSON (Unter"),
    ("no JSON", "x.jsonl", GOOD + b"\nZaphodine\n", 3, "malformed JSON (Expecting value"),
    ("no object", "x.jsonl", GOOD + b'["Zaphodine"]\n', 2, "this is no JSON object"),
    ("deep", "x.jsonl", GOOD + b"[" * 100_000, 2, "malformed JSON (nested too deeply)"),
    ("same id", "x.jsonl", GOOD + GOOD, 2, "id `n-1` appeared on line 1 already"),
    ("no text", "x.jsonl", GOOD + b'{"_id": "n-2", "note": "Zaphodine"}', 2, "field `text` is mis"),
    ("no id", "x.jsonl", GOOD + b'{"text": "Zaphodine"}', 2, "field `_id` is missing"),
    ("number", "x.jsonl", GOOD + b'{"_id": "n-2", "text": 7}', 2, "field `text` is no text"),
    ("empty id", "x.jsonl", GOOD + b'{"_id": "", "text": "a"}', 2, "the id in `_id` is empty"),
    ("id list", "x.jsonl", GOOD + b'{"_id": [1], "text": "a"}', 2, "the id in `_id` is neither"),
    ("id lines", "x.jsonl", GOOD + b'{"_id": "a\\nb", "text": "a"}', 2, "the id in `_id` holds"),
    ("CSV fields", "x.csv", CSV + b"n-2,Zaphodine,gout\n", 3, "3 fields where the header names 2"),
    (
        "list element",
        "x.json",
        b'[{"_id": "n-1", "text": "gout"},\n7]',
        2,
        "this is no JSON object",
    ),
]
# Files that cannot be used as a whole; None where no line is to blame.
BAD_FILES: list[tuple[str, str, bytes, int | None, str]] = [
    ("CSV quote", "x.csv", CSV + b'n-2,"Zaphodine\n', 3, "malformed CSV in the row that begins"),
    ("CSV after quote", "x.csv", CSV + b'n-2,"Zaphodine"x\n', 3, "malformed CSV in the row that"),
    ("same columns", "x.csv", b"id,text,text\n1,a,b\n", 1, "columns "),
    ("list cut", "x.json", b'[{"_id": "n-1", "text": "a"},', 1, "malformed JSON list"),
    ("unknown fields", "x.jsonl", b'{"number": 1, "story": "Zaphodine"}', 1, "which field is the"),
    ("binary", "x.jsonl", GOOD + b"\0\1\2\n", 2, "this is binary data, not text"),
    ("binary CSV", "x.csv", bytes(range(256)), 1, "this is "),
    ("Latin-1", "x.csv", CSV + b"n-2," + LATIN1, 3, "this is not UTF-8 text"),
    ("UTF-16", "x.csv", CSV.decode().encode("utf-16"), 1, "this is UTF-16 text, not UTF-8"),
    ("zip", "x.csv", b"PK\3\4" + bytes(30), None, "this is a zip archive, not text"),
    ("gzip cut", "x.jsonl.gz", gzip.compress(GOOD)[:-9], None, "the compressed file is damaged or"),
    (
        "gzip cut head",
        "x.jsonl.gz",
        gzip.compress(GOOD)[:6],
        None,
        "the compressed file is damaged",
    ),
    ("gzip sum", "x.jsonl.gz", gzip.compress(GOOD)[:-8] + bytes(8), None, "the compressed file is"),
    ("zstd cut", "x.jsonl.zst", b"\x28\xb5\x2f\xfd\x24", None, "the compressed file is damaged"),
    ("empty", "x.jsonl", b"", None, "there are no patients in it"),
    ("white space", "x.jsonl", b" \n\n", None, "there are no patients in it"),
    ("header only", "x.csv", b"id,text\n", None, "there are no patients in it"),
    ("empty list", "x.json", b"[]", None, "there are no patients in it"),
    (
        "no header",
        "x.csv",
        b"n-1,Zaphodine fever\nn-2,Zaphodine rash\n",
        1,
        "which field is the id",
    ),
    ("no header twice", "x.csv", b"Zaphodine,Zaphodine\n", 1, "columns "),
    ("a note", "note.txt", b"Mrs Zaphodine.\nShe has gout.\n", 1, "which field is the id?"),
    ("a table note", "note.txt", b"Zaphodine\t63\ngout\t3\n", 1, "which field is the id?"),
    ("a short note", "note.txt", b"Zaphodine, 63, gout\n", None, "there are no patients in it"),
]
ALL_BAD = BAD_ROWS + BAD_FILES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an index in it."""
    run_successfully(
        "index", "build", "-", "--into", tmp_path / "index", stdin=rows({"_id": "o", "text": "x"})
    )
    return tmp_path


COMMANDS = {
    "build": ("build", "{bad}", "--into", "{place}/new"),
    "replace": ("build", "{bad}", "--into", "{place}/index", "--replace"),
    "add": ("add", "{bad}", "--index", "{place}/index"),
    "update": ("add", "{bad}", "--index", "{place}/index", "--update"),
}


def changed(command: str, bad: object, place: Path, *options: str, stdin: bytes = b"") -> Outcome:
    args = [arg.format(bad=bad, place=place) for arg in COMMANDS[command]]
    return patientdx("index", *args, *options, stdin=stdin)


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize(
    ("name", "data", "line", "message"), [pytest.param(*case[1:], id=case[0]) for case in ALL_BAD]
)
def test_a_bad_file_is_named_and_changes_nothing(
    command: str, name: str, data: bytes, line: int | None, message: str, place: Path
) -> None:
    bad = place / name
    bad.write_bytes(data)
    before = digests(place)
    outcome = changed(command, bad, place)
    check_refusal(outcome, f"{bad}: {message}" if line is None else f"{bad}:{line}: {message}")
    assert digests(place) == before
    assert run_successfully("search", "x", "-q", "--index", place / "index").lines == ["o"]


@pytest.mark.parametrize(
    ("name", "data", "line", "message"), [pytest.param(*case[1:], id=case[0]) for case in BAD_ROWS]
)
def test_bad_rows_can_be_skipped_and_are_counted(
    name: str, data: bytes, line: int, message: str, place: Path
) -> None:
    bad = place / name
    bad.write_bytes(data)
    outcome = changed("add", bad, place, "--skip-bad")
    assert outcome.code == 0
    first, second, *_, size, _ = outcome.err.splitlines()
    assert first == "left out 1 row that cannot be used:"
    assert second.startswith(f"  {bad}:{line}: {message}")
    assert size == f"2 patients in {place / 'index'}"
    assert SECRET not in outcome.err
    assert run_successfully("index", "info", "--ids", "--index", place / "index").lines == [
        "o",
        "n-1",
    ]


def test_skipping_counts_every_row_and_shows_a_few(place: Path) -> None:
    bad = b"".join(b'{"_id": "m-%d", "text": 7}\n' % i for i in range(1_234))
    outcome = changed("add", "-", place, "--skip-bad", stdin=bad + GOOD)
    assert outcome.code == 0
    assert outcome.err.startswith("left out 1,234 rows that cannot be used:\n  stdin:1: ")
    assert len([line for line in outcome.err.splitlines() if line.startswith("  ")]) == 5
    quiet = changed("build", "-", place, "--skip-bad", "-q", stdin=bad + GOOD)
    assert (quiet.code, quiet.err) == (0, "")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_skipping_every_row_leaves_nothing_to_index(command: str, place: Path) -> None:
    before = digests(place)
    outcome = changed(command, "-", place, "--skip-bad", stdin=b'{"_id": "m", "text": ""}\n' * 3)
    assert (outcome.code, outcome.out) == (1, "")
    assert "error: stdin: there are no patients in it" in outcome.err
    assert digests(place) == before


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize("bad", ["missing.jsonl", "empty-folder", "lone\nline", "x" * 300])
def test_what_is_no_file_is_named(command: str, bad: str, place: Path) -> None:
    (place / "empty-folder").mkdir()
    before = digests(place)
    outcome = changed(command, place / bad, place)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"error: {place / bad}: ")
    assert "\n\nhint: " in outcome.err
    assert digests(place) == before


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_file_that_may_not_be_read_is_named(
    command: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = place / "x.jsonl"
    bad.write_bytes(GOOD)
    before = digests(place)
    real = Path.open

    def refusing(self: Path, *args: object, **kwargs: object) -> object:  # root may read all
        if self == bad:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)  # type: ignore[call-overload]

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refusing)
        outcome = changed(command, bad, place)
    check_refusal(outcome, f"{bad}: may not be read")
    assert digests(place) == before


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf" + GOOD, b"\xef\xbb\xbf" + CSV, GOOD + b"\n \n"])
def test_what_is_only_unusual_is_read(data: bytes, place: Path) -> None:
    assert changed("add", "-", place, stdin=data).code == 0
    assert run_successfully("search", SECRET, "-q", "--index", place / "index").lines == ["n-1"]


@pytest.mark.parametrize("packed", [gzip.compress(GOOD * 1, mtime=0), GOOD])
def test_names_do_not_decide_what_is_packed(packed: bytes, place: Path) -> None:
    for name in ("x.jsonl", "x.jsonl.gz"):
        (place / name).write_bytes(packed)
        assert changed("build", place / name, place / name.replace(".", "-")).code == 0


def test_a_patient_may_stand_on_a_line_of_a_million_words(place: Path) -> None:
    note = {"_id": "long", "text": "fever " * 1_000_000}
    assert changed("add", "-", place, stdin=json.dumps(note).encode()).code == 0
    assert run_successfully("search", "fever", "-q", "--index", place / "index").lines == ["long"]


def test_a_small_packed_file_may_hold_much(place: Path) -> None:
    """A gzip member within a gzip stream, as concatenated logs have them."""
    several = b"".join(gzip.compress(rows({"_id": i, "text": f"gout {i}"})) for i in range(1, 9))
    assert zlib.crc32(several)
    assert changed("add", "-", place, stdin=several).code == 0
    assert len(run_successfully("search", "gout", "-q", "--index", place / "index").lines) == 8
