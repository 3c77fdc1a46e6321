"""Tables: every figure with its n and interval, every format whole and safe."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluator
from evaluator import (
    DISCLAIMER,
    FORMATS,
    Evaluation,
    Interval,
    MeanEstimate,
    ReportRow,
    Table,
    bootstrap_interval,
    build_report_row,
    build_table,
    per_query_csv,
    render_table,
)
from patientdx.errors import EvaluationError

NOTES = {"corpus": "invented, 12 patients", "split": "dev", "settings": "BM25 k1=1.2 b=0.75"}
BASE = Evaluation(
    ("RR", "P@10"),
    {
        "q1": {"RR": 1.0, "P@10": 0.1},
        "q2": {"RR": 0.5, "P@10": 0.3},
        "q3": {"RR": 0.0, "P@10": 0.2},
    },
)
BETTER = Evaluation(("RR", "P@10"), {q: {"RR": 1.0, "P@10": 0.4} for q in ("q1", "q2", "q3", "q4")})


def table_of(system: str = "BM25", notes: dict[str, str] | None = None) -> Table:
    return build_table({system: BASE, "other": BETTER}, NOTES if notes is None else notes)


def test_a_row_holds_means_and_their_bootstrap_intervals() -> None:
    row = build_report_row("BM25", BASE, level=0.9, resamples=500, seed=3)
    assert (row.system, row.n) == ("BM25", 3)
    assert row.estimates["RR"].value == pytest.approx(0.5)
    assert row.estimates["RR"].interval == bootstrap_interval(
        [1.0, 0.5, 0.0], level=0.9, resamples=500, seed=3
    )
    assert list(row.estimates) == ["RR", "P@10"]


def test_a_table_keeps_the_order_and_says_how_intervals_were_made() -> None:
    table = build_table({"b": BASE, "a": BETTER}, NOTES, level=0.9, resamples=2000, seed=7)
    assert [row.system for row in table.rows] == ["b", "a"]
    assert [row.n for row in table.rows] == [3, 4]
    for message in ("90%", "2,000 resamples", "seed 7", "bootstrap"):
        assert message in table.method


def test_odd_levels_are_not_rounded_away() -> None:
    assert "99.9%" in build_table({"a": BASE}, {}, level=0.999, resamples=10).method


def test_different_measures_make_no_table() -> None:
    with pytest.raises(EvaluationError, match="same measures"):
        build_table({"a": BASE, "b": Evaluation(("AP",), {"q": {"AP": 1.0}})}, {})


def test_no_system_makes_no_table() -> None:
    with pytest.raises(EvaluationError, match="one system or more"):
        build_table({}, {})


def test_an_unknown_format_is_reported_with_those_there_are() -> None:
    with pytest.raises(EvaluationError, match="`html` is not a format") as caught:
        render_table(table_of(), "html")
    assert all(name in (caught.value.hint or "") for name in FORMATS)


@pytest.mark.parametrize("format_name", ["text", "markdown", "latex", "json"])
def test_every_format_says_what_was_measured_and_how(format_name: str) -> None:
    written = render_table(table_of(), format_name)
    plain = written.replace("\\", "").replace("{[}", "[")
    for name, note in NOTES.items():
        assert name in plain
        assert note in plain
    assert "95% interval" in plain
    assert DISCLAIMER in written
    assert written.endswith("\n")
    assert not written.endswith("\n\n")


def shown(row: ReportRow) -> list[str]:
    return [
        f"{figure.value:.4f} [{figure.interval.low:.4f}, {figure.interval.high:.4f}]"
        for figure in row.estimates.values()
    ]


def test_text_is_aligned_and_whole() -> None:
    table = table_of()
    lines = render_table(table, "text").splitlines()
    assert lines[:4] == [*(f"{name}: {note}" for name, note in NOTES.items()), ""]
    header, rule, first, second = lines[4:8]
    assert header.split() == ["system", "n", "RR", "P@10"]
    assert set(rule) == {"-"}
    assert len(header) == len(rule) == len(first) == len(second)
    for line, row in zip((first, second), table.rows, strict=True):
        assert re.split(r" {2,}", line) == [row.system, str(row.n), *shown(row)]
    assert lines[-1] == DISCLAIMER


def test_markdown_has_a_cell_for_every_figure() -> None:
    table = table_of("a|b*c_d")
    lines = render_table(table, "markdown").splitlines()
    rows = [re.split(r"(?<!\\)\|", line) for line in lines if line.startswith("|")]
    assert {len(cells) for cells in rows} == {6}
    assert rows[1][1:-1] == [" :-- ", " --: ", " --: ", " --: "]
    assert rows[2][1].strip() == r"a\|b\*c\_d"
    assert [cell.strip() for cell in rows[3][3:-1]] == shown(table.rows[1])
    assert lines[0] == "- corpus: invented, 12 patients"
    # A blank line before and after: without them the table is not one.
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    assert lines[start - 1] == lines[start + 4] == ""


def test_without_notes_the_table_comes_first() -> None:
    assert render_table(table_of(notes={}), "text").startswith("system")
    assert render_table(table_of(notes={}), "markdown").startswith("| system")


def test_latex_is_a_booktabs_table() -> None:
    written = render_table(table_of(), "latex")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lrrr}", r"\caption{"):
        assert written.count(part) == 1
    assert written.count(r"\begin{") == written.count(r"\end{") == 2
    body = written.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.count("&") for line in body] == [3, 3]
    assert all(line.endswith(r" \\") for line in body)


@pytest.mark.parametrize(
    ("sign", "escaped"),
    [
        ("&", r"\&"),
        ("%", r"\%"),
        ("$", r"\$"),
        ("#", r"\#"),
        ("_", r"\_"),
        ("{", r"\{"),
        ("}", r"\}"),
        ("~", r"\textasciitilde{}"),
        ("^", r"\textasciicircum{}"),
        ("\\", r"\textbackslash{}"),
        ("<", r"\textless{}"),
        (">", r"\textgreater{}"),
        ("|", r"\textbar{}"),
    ],
)
def test_latex_signs_are_escaped_in_cells_and_notes(sign: str, escaped: str) -> None:
    written = render_table(table_of(f"a{sign}z", {"note": f"b{sign}y"}), "latex")
    assert f"\na{escaped}z & 3" in written
    assert rf"\caption{{note: b{escaped}y." in written


def test_a_bracket_after_a_row_end_is_no_argument() -> None:
    written = render_table(build_table({"x": BASE, "[2ex]": BASE}, {}), "latex")
    assert not re.search(r"\\\\\s*\[", written)


def test_json_holds_every_digit_with_n_and_interval() -> None:
    table = table_of()
    read = json.loads(render_table(table, "json"))
    assert read["notes"] == NOTES
    assert read["caption"] == DISCLAIMER
    assert read["measures"] == ["RR", "P@10"]
    for row, got in zip(table.rows, read["rows"], strict=True):
        assert (got["system"], got["n"]) == (row.system, row.n)
        for measure, figure in row.estimates.items():
            assert got["figures"][measure] == {
                "value": figure.value,
                "low": figure.interval.low,
                "high": figure.interval.high,
                "n": row.n,
            }


def with_extra() -> Table:
    table = table_of()
    first = replace(table.rows[0], extra={"remark": "baseline"})
    second = replace(table.rows[1], extra={"RR diff": 0.25, "p": 0.00002, "p adj": math.nan})
    return replace(table, rows=(first, second))


def test_extra_columns_are_shown_for_all_rows() -> None:
    table = with_extra()
    assert table.extra_columns == ("remark", "RR diff", "p", "p adj")
    lines = render_table(table, "text").splitlines()
    cells = [re.split(r" {2,}", line) for line in lines[4:8]]
    assert cells[0][-4:] == ["remark", "RR diff", "p", "p adj"]
    assert cells[2][-4:] == ["baseline", "-", "-", "-"]
    assert cells[3][-4:] == ["-", "0.25", "2e-05", "-"]
    assert r"\begin{tabular}{lrrrrrrr}" in render_table(table, "latex")


def test_extra_columns_that_are_no_number_are_null_in_json() -> None:
    read = json.loads(render_table(with_extra(), "json"), parse_constant=pytest.fail)
    assert read["rows"][1]["extra"] == {"RR diff": 0.25, "p": 0.00002, "p adj": None}


def test_a_row_can_be_made_by_hand() -> None:
    row = ReportRow("board", 5, {"RR": MeanEstimate(0.2, Interval(0.1, 0.3))})
    written = render_table(Table(("RR",), (row,), {}, "as published"), "text")
    assert "0.2000 [0.1000, 0.3000]" in written
    assert "as published" in written


def test_line_breaks_and_control_signs_do_not_break_rows() -> None:
    bad = "a\nb\r\x1b[31m\tc\u2028d"
    for format_name in ("text", "markdown", "latex"):
        clean = render_table(table_of("system", {"note": "x"}), format_name)
        dirty = render_table(table_of(bad, {"note": bad}), format_name)
        assert len(dirty.splitlines()) == len(clean.splitlines())
        assert "\x1b" not in dirty


@given(st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_name_and_note_can_be_written(system: str, note: str) -> None:
    row = ReportRow(system, 5, {"RR": MeanEstimate(0.2, Interval(0.1, 0.3))})
    table = Table(("RR",), (row,), {"note": note}, "by hand")
    written = {name: render_table(table, name) for name in FORMATS}
    assert json.loads(written["json"])["rows"][0]["system"] == system
    (cells,) = [line for line in written["latex"].splitlines() if line.endswith("0.3000] \\\\")]
    assert len(re.findall(r"(?<!\\)&", cells)) == 2
    (line,) = [line for line in written["markdown"].splitlines() if line.endswith("0.3000] |")]
    assert len(re.findall(r"(?<!\\)\|", line.replace(r"\\", ""))) == 4


def test_the_csv_reads_back_as_every_value() -> None:
    third = Evaluation(("RR",), {'a,"b"': {"RR": 1 / 3}})
    rows = list(csv.reader(io.StringIO(per_query_csv({"x,y": BASE, "z": third}))))
    assert rows[0] == ["system", "query_id", "measure", "value"]
    assert rows[1:3] == [["x,y", "q1", "RR", "1.0"], ["x,y", "q1", "P@10", "0.1"]]
    assert len(rows) == 1 + 6 + 1
    assert rows[-1][:3] == ["z", 'a,"b"', "RR"]
    assert float(rows[-1][3]) == 1 / 3


def test_every_public_name_is_there() -> None:
    assert all(hasattr(evaluator, name) for name in evaluator.__all__)
    assert list(evaluator.__all__) == sorted(
        evaluator.__all__, key=lambda name: (not name.isupper(), name.islower(), name)
    )
