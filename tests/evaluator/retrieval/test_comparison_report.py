"""Tables of several systems: every comparison with its tests, in every format."""

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from small_evaluations import evaluation, made

from evaluator import (
    DISCLAIMER,
    ComparisonSettings,
    Evaluation,
    Table,
    build_comparison_table,
    build_sets_table,
    build_table,
    compare_systems,
    correct_p_values,
    render_table,
)
from patientdx.errors import EvaluationError

FEW = ComparisonSettings(permutations=500, resamples=300, level=0.9, seed=3)
NOTES = {"queries": "invented"}
HEADER = [
    "measure",
    "system",
    "n",
    "difference to bm25",
    "p (randomisation, Holm)",
    "p (t, Holm)",
    "wins/ties/losses",
]


def table_of(**options: Any) -> Table:
    return build_comparison_table(made(), NOTES, settings=FEW, **options)


def cells_of(table: Table) -> list[list[str]]:
    """What a line of each comparison must show, by hand."""
    return [
        [
            *([comparison.dataset] if comparison.dataset else []),
            comparison.system,
            str(comparison.n),
            f"{comparison.difference:+.4f} [{low:+.4f}, {high:+.4f}]",
            f"{comparison.holm_randomisation:.3g}",
            f"{comparison.holm_t:.3g}",
            f"{comparison.wins}/{comparison.ties}/{comparison.losses}",
        ]
        for comparison in table.comparisons
        for low, high in [comparison.interval]
    ]


def test_the_rows_are_those_of_a_table_without_comparisons() -> None:
    plain = build_table(made(), NOTES, level=0.9, resamples=300, seed=3)
    table = table_of()
    assert (table.measures, table.rows) == (plain.measures, plain.rows)
    assert table.method.startswith(plain.method)


def test_all_are_compared_with_the_first_and_corrected_over_systems() -> None:
    expected = correct_p_values(compare_systems(made(), settings=FEW))
    assert list(table_of().comparisons) == expected
    assert {row.family for row in expected} == {2}
    other = table_of(baseline="rrf")
    assert {comparison.baseline for comparison in other.comparisons} == {"rrf"}
    assert "difference to rrf" in render_table(other, "text")


def test_notes_tell_n_and_what_was_reconstructed() -> None:
    table = table_of(reconstructed=["the prompt of keywords", "its temperature"])
    assert table.notes == {
        "queries": "invented",
        "n": "40 queries, the same for all systems",
        "reconstructed": "the prompt of keywords; its temperature",
    }
    assert "reconstructed" not in table_of().notes
    for format_name in ("text", "markdown", "latex", "json"):
        written = render_table(table, format_name)
        for note in ("40 queries", "the prompt of keywords; its temperature"):
            assert note in written


def test_the_method_reports_how_comparisons_were_made() -> None:
    method = table_of().method
    for said in (
        "500 permutations, seed 3",
        "90% interval",
        "system minus baseline",
        "Smucker et al. 2007",
        "families of 2 (Holm 1979)",
    ):
        assert said in method


def test_text_has_a_second_grid() -> None:
    table = table_of()
    lines = render_table(table, "text").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("measure"))
    assert lines[start - 1] == ""
    assert re.split(r" {2,}", lines[start]) == HEADER
    assert set(lines[start + 1]) == {"-"}
    result = [re.split(r" {2,}", line) for line in lines[start + 2 : start + 6]]
    assert [line[1:] for line in result] == cells_of(table)
    assert [line[0] for line in result] == ["RR", "RR", "AP", "AP"]
    assert lines[start + 6] == ""
    assert lines[-1] == DISCLAIMER


def test_markdown_has_a_second_table() -> None:
    table = table_of()
    lines = render_table(table, "markdown").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    assert rows[5] == HEADER
    assert rows[6] == [":--"] * 2 + ["--:"] * 5
    assert [row[1:] for row in rows[7:]] == cells_of(table)
    start = next(number for number, line in enumerate(lines) if line.startswith("| measure"))
    assert lines[start - 1] == lines[start + 6] == ""


def test_latex_has_a_second_tabular_in_the_same_table() -> None:
    written = render_table(table_of(), "latex")
    assert written.count(r"\begin{table}") == written.count(r"\end{table}") == 1
    assert written.count(r"\begin{tabular}") == written.count(r"\end{tabular}") == 2
    assert written.count(r"\toprule") == written.count(r"\bottomrule") == 2
    second = written.split(r"\begin{tabular}{llrrrrr}")[1].split(r"\end{tabular}")[0]
    body = second.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.count(" & ") for line in body] == [6] * 4
    assert all(line.endswith(r" \\") for line in body)


def test_json_holds_every_digit_of_every_comparison() -> None:
    table = table_of()
    read = json.loads(render_table(table, "json"), parse_constant=pytest.fail)
    assert len(read["comparisons"]) == 4
    for comparison, got in zip(table.comparisons, read["comparisons"], strict=True):
        assert got == {
            "system": comparison.system,
            "baseline": "bm25",
            "measure": comparison.measure,
            "n": 40,
            "difference": {
                "value": comparison.difference,
                "low": comparison.interval.low,
                "high": comparison.interval.high,
            },
            "wins": comparison.wins,
            "ties": comparison.ties,
            "losses": comparison.losses,
            "randomisation": {
                "p": comparison.p_randomisation,
                "holm": comparison.holm_randomisation,
                "exact": False,
            },
            "t_test": {"t": comparison.t, "p": comparison.p_t, "holm": comparison.holm_t},
            "family": 2,
        }


def test_one_system_has_no_comparisons() -> None:
    alone = {"bm25": made()["bm25"]}
    table = build_comparison_table(alone, NOTES, settings=FEW)
    assert table.comparisons == ()
    assert "randomisation" not in render_table(table, "text")
    assert json.loads(render_table(table, "json"))["comparisons"] == []


def test_comparisons_that_were_not_corrected_say_so() -> None:
    raw = compare_systems(made(), settings=FEW)
    written = render_table(table_of(comparisons=raw), "text")
    assert re.search(r"p \(randomisation\) +p \(t\) +wins", written)
    assert "not corrected" in written
    assert f"{raw[0].p_randomisation:.3g}" in written


def test_comparisons_may_be_corrected_over_more_than_the_table() -> None:
    more = [
        replace(comparison, dataset="other") for comparison in compare_systems(made(), settings=FEW)
    ]
    family = correct_p_values([*compare_systems(made(), settings=FEW), *more])[:4]
    table = table_of(comparisons=family)
    assert list(table.comparisons) == family
    assert "families of 4" in table.method


def test_comparisons_of_other_systems_are_refused() -> None:
    raw = compare_systems(made(), settings=FEW)
    with pytest.raises(EvaluationError, match="not of these systems"):
        table_of(baseline="rrf", comparisons=raw)
    with pytest.raises(EvaluationError, match="not of these systems"):
        table_of(comparisons=[replace(raw[0], system="other")])


def test_what_has_no_t_test_is_left_out() -> None:
    evaluations = {"bm25": evaluation([0.5]), "rm3": evaluation([0.25])}
    table = build_comparison_table(evaluations, {}, settings=FEW)
    assert math.isnan(table.comparisons[0].p_t)
    line = next(
        line for line in render_table(table, "text").splitlines() if line.startswith("nDCG")
    )
    assert re.split(r" {2,}", line)[-3:] == ["1", "-", "0/0/1"]
    read = json.loads(render_table(table, "json"), parse_constant=pytest.fail)
    assert read["comparisons"][0]["t_test"] == {"t": None, "p": None, "holm": None}


def test_an_infinite_t_is_null_in_json() -> None:
    two = {"bm25": evaluation([0.5, 0.25]), "rm3": evaluation([0.75, 0.5])}
    read = json.loads(render_table(build_comparison_table(two, {}, settings=FEW), "json"))
    assert read["comparisons"][0]["t_test"] == {"t": None, "p": 0.0, "holm": 0.0}


SETS = {"nfcorpus": made(40), "pmc|x": made(25, seed=1)}


def test_sets_are_corrected_together_and_have_a_column() -> None:
    table = build_sets_table(SETS, NOTES, reconstructed=["a"], settings=FEW)
    assert [(row.dataset, row.system, row.n) for row in table.rows] == [
        *(("nfcorpus", system, 40) for system in ("bm25", "rm3", "rrf")),
        *(("pmc|x", system, 25) for system in ("bm25", "rm3", "rrf")),
    ]
    expected = correct_p_values(
        [
            comparison
            for name, systems in SETS.items()
            for comparison in compare_systems(systems, dataset=name, settings=FEW)
        ]
    )
    assert list(table.comparisons) == expected
    assert {row.family for row in expected} == {4}
    assert table.notes == {
        **NOTES,
        "n": "40 (nfcorpus), 25 (pmc|x) queries, the same for all systems",
        "reconstructed": "a",
    }


def test_sets_are_shown_in_every_format() -> None:
    table = build_sets_table(SETS, NOTES, settings=FEW)
    lines = [re.split(r" {2,}", line) for line in render_table(table, "text").splitlines()]
    assert [line[:2] for line in lines if line[0] in SETS] == [
        [row.dataset, row.system] for row in table.rows
    ]
    assert [line[1:] for line in lines if line[0] in {"RR", "AP"}] == cells_of(table)
    assert r"\begin{tabular}{llrrr}" in render_table(table, "latex")
    assert r"\begin{tabular}{lllrrrrr}" in render_table(table, "latex")
    assert r"| pmc\|x | rm3 |" in render_table(table, "markdown")
    read = json.loads(render_table(table, "json"))
    assert [row["set"] for row in read["rows"]] == [row.dataset for row in table.rows]
    assert [comparison["set"] for comparison in read["comparisons"]] == [
        comparison.dataset for comparison in table.comparisons
    ]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({}, "one set or more"),
        ({"a": made(), "b": made(measures=("AP",))}, "same measures"),
        ({"a": made(), "b": dict(reversed(made().items()))}, "same baseline"),
        ({"a": {}}, "one system or more"),
    ],
)
def test_sets_that_make_no_table(sets: dict[str, dict[str, Evaluation]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        build_sets_table(sets, NOTES, settings=FEW)
