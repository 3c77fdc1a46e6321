"""What `expand` wrote reads back as the same expanded queries."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander.cached_generator import ModelReply
from expander.expansions import Expansion, expansion_row
from expander.strategies.recorded import RecordedExpander, read_expansions
from patientdx.errors import InputError
from patientdx.protocols import Completion, Expander
from patientdx.records import Query

weights = st.dictionaries(st.text(max_size=4), st.floats(0.001, 1e6), max_size=4)


@given(weights, weights, st.booleans())
def test_rows_restore_the_expanded_query(
    words: dict[str, float], terms: dict[str, float], is_reduced: bool
) -> None:
    query = Query("q", "a note")
    expanded = Query("q", "" if is_reduced else query.text, words, terms)
    row = expansion_row(
        Expansion(query, expanded, ModelReply(Completion("x"), "model")), with_reply=True
    )
    expander = RecordedExpander({"q": json.loads(json.dumps(row))})
    assert expander.expand_many([query]) == [expanded]


def test_a_file_of_rows_is_read_as_an_expander(tmp_path: Path) -> None:
    path = tmp_path / "expanded.jsonl"
    path.write_text(
        '{"query_id": "a", "weights": {"gout": 0.5}, "origin": "cache"}\n\n'
        '{"query_id": "b", "terms": {"gout": 2}, "replaces_text": true}\n',
        encoding="utf-8",
    )
    expander = read_expansions(path)
    queries = [Query("c", "x"), Query("b", "y", {"z": 1.0}), Query("a", "w", {"gout": 1.0})]
    assert isinstance(expander, Expander)
    assert len(expander) == 2
    assert expander.expand_many(queries) == [
        queries[0],
        Query("b", "", {}, {"gout": 2}),
        Query("a", "w", {"gout": 1.5}),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"weights": {}}',
        '{"query_id": 7}',
        '{"query_id": "a", "weights": []}',
        '{"query_id": "a", "weights": {"x": "1"}}',
        '{"query_id": "a", "weights": {"x": true}}',
        '{"query_id": "a", "weights": {"x": -1}}',
        '{"query_id": "a", "terms": {"x": NaN}}',
        '{"query_id": "a", "terms": {"x": 1' + "0" * 400 + "}}",
        '{"query_id": "a", "replaces_text": 1}',
        "[" * 100_000,
    ],
)
def test_a_bad_row_names_its_line_and_quotes_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / "expanded.jsonl"
    path.write_text('{"query_id": "first"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_expansions(path)
    assert caught.value.message == f"{path}:2: this is not an expanded query"


def test_an_id_that_appears_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "expanded.jsonl"
    path.write_text('{"query_id": "a"}\n{"query_id": "a"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="`a` appears twice"):
        read_expansions(path)
