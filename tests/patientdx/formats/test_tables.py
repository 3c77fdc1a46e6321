"""Tables of commas, semicolons and tabs, and what their quotes mean."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patientdx.errors import InputError
from patientdx.formats import CorpusSummary, SkippedRows, read_patients
from patientdx.formats.tables import separator_of

Make = Callable[[str, str], Path]


def texts(path: Path, skip: SkippedRows | None = None) -> list[str]:
    return [patient.text for patient in read_patients(path, skip_bad=skip)]


def test_quotes_of_tsv_are_characters(make: Make) -> None:
    path = make("t.tsv", 'id\ttext\n1\t"Fever and chills\n2\tlupus\n3\tasthma attack"\n4\tdengue\n')
    assert texts(path) == ['"Fever and chills', "lupus", 'asthma attack"', "dengue"]


def test_a_tsv_quoted_throughout_is_unquoted(make: Make) -> None:
    path = make("t.tsv", '"id"\t"text"\n"1"\t"He said ""no"".\tTwo\nlines"\n\n2\t"x"\r\n"3"\ty\n')
    assert texts(path) == ['He said "no".\tTwo\nlines', "x", "y"]


@pytest.mark.parametrize(
    ("row", "line"), [('"2"\t"open\n"3"\t"y"\n', 3), ('"2"\tno "end\n', 3), ('2\t"a"b\n', 3)]
)
def test_a_lone_quote_in_a_quoted_tsv_is_refused(make: Make, row: str, line: int) -> None:
    path = make("t.tsv", '"id"\t"text"\n"1"\t"x"\n' + row)
    with pytest.raises(InputError) as caught:
        texts(path, SkippedRows())
    assert caught.value.message.startswith(f"{path}:{line}: ")


def test_a_tsv_with_cells_over_lines_is_refused(make: Make) -> None:
    path = make("t.tsv", 'id\ttext\n1\t"two\nlines"\n')
    with pytest.raises(InputError, match=":3: 1 field where the header names 2"):
        texts(path)


def test_semicolons_part_the_fields(make: Make) -> None:
    path = make("t.csv", 'id;note;age\n1;"fever; chills, no cough";44\n2;dry cough;61\n')
    summary = CorpusSummary()
    patients = list(read_patients(path, summary=summary))
    assert [(p.text, p.age_years) for p in patients] == [
        ("fever; chills, no cough", 44.0), ("dry cough", 61.0),
    ]  # fmt: skip
    assert summary.separator == ";"


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        ("id,text", ","),
        ("id;text", ";"),
        ("id\ttext", "\t"),
        ('id;"a,b,c";text', ";"),
        ("text", ","),
        ("id\ttext, all of it", "\t"),
    ],
)
def test_the_header_shows_the_separator(header: str, separator: str) -> None:
    assert separator_of(header + "\n") == separator


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1).filter(
    str.strip
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(cells, max_size=5), st.sampled_from([",", ";", "\t"]))
def test_quoted_tables_come_back(make: Make, notes: list[str], separator: str) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["id", "text"], *([str(i), note] for i, note in enumerate(notes))])
    assert texts(make("t.csv", stream.getvalue())) == notes


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(cells.filter(lambda cell: not {"\t", "\n"} & set(cell)), max_size=5))
def test_plain_tsv_comes_back(make: Make, notes: list[str]) -> None:
    lines = "".join(f"{i}\t{note}\n" for i, note in enumerate(notes))
    assert texts(make("t.tsv", "id\ttext\n" + lines)) == notes
