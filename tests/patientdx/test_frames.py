"""Runs, hits, judgements and tables as data frames, and how results show themselves."""

from typing import Any

import pytest

from patientdx import capabilities
from patientdx.errors import ExtraMissingError
from patientdx.frames import html_table, to_frame
from patientdx.records import Hit, Patient, Query

RUN = {"q1": [Hit("b", 2.5), Hit("a", 1.0)], "q2": []}
QRELS = {"q1": {"a": 1, "b": 0}}
SECRET = "Zaphodine"


def columns_of(frame: Any, library: str) -> dict[str, list[Any]]:
    if library == "polars":
        return dict(frame.to_dict(as_series=False))
    return {name: frame[name].tolist() for name in frame.columns}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_each_hit_of_a_run_is_a_row(library: Any) -> None:
    pytest.importorskip(library)
    assert columns_of(to_frame(RUN, library), library) == {
        "query_id": ["q1", "q1"],
        "rank": [1, 2],
        "doc_id": ["b", "a"],
        "score": [2.5, 1.0],
    }


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_hits_and_judgements_have_columns_of_their_own(library: Any) -> None:
    pytest.importorskip(library)
    hits = columns_of(to_frame(RUN["q1"], library), library)
    assert hits == {"rank": [1, 2], "doc_id": ["b", "a"], "score": [2.5, 1.0]}
    judgements = columns_of(to_frame(QRELS, library), library)
    assert judgements == {"query_id": ["q1", "q1"], "doc_id": ["a", "b"], "relevance": [1, 0]}


def test_an_empty_run_has_the_columns_of_a_run() -> None:
    pytest.importorskip("pandas")
    assert list(to_frame({}).columns) == ["query_id", "rank", "doc_id", "score"]


def test_a_missing_library_is_one_sentence_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError, match="`polars` is needed") as error:
        to_frame(RUN, "polars")
    assert "patientdx[frames]" in str(error.value.hint)


def test_html_is_escaped() -> None:
    table = html_table(["<name>"], [("<script>",), (None,), (0.25,)])
    assert "<script>" not in table
    assert "&lt;script&gt;" in table
    assert "<td></td>" in table
    assert "<td>0.2500</td>" in table


def test_patients_and_queries_do_not_print_their_text() -> None:
    patient = Patient("p-1", SECRET, title=SECRET, metadata={"note": SECRET})
    query = Query("q-1", SECRET, weights={SECRET: 1.0}, terms={SECRET: 1.0})
    assert SECRET not in repr(patient) + repr(query)
    assert "p-1" in repr(patient)
    assert "q-1" in repr(query)
