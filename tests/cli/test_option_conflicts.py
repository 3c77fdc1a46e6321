"""Options that have no effect are refused by name, never ignored silently."""

from pathlib import Path

import pytest
from command_line import patientdx

from patientdx.sample import sample_folder

SAMPLE = sample_folder()
QRELS = SAMPLE / "qrels" / "test.tsv"
QUERIES = SAMPLE / "queries.jsonl"

CONFLICTS = [
    # (command line, the option that the error names, a part of the hint)
    (("search", "gout", "--model", "x"), "--model", "--expand keywords"),
    (("search", "gout", "--expand", "rm3", "--timeout", "5"), "--timeout", "--expand keywords"),
    (("search", "gout", "--expand", "rm3", "--vocabulary", "x"), "--vocabulary", "synonyms"),
    (("search", "gout", "--write-run", "x"), "--write-run", "--queries FILE"),
    (("search", "--queries", QUERIES, "--explain"), "--explain", "TREC run"),
    (("search", "--queries", QUERIES, "--explain", "--tsv"), "--explain", "TREC run"),
    (("search", "--queries", QUERIES, "--format", "csv", "--json"), "exclude each other", "one"),
    (("search", "x", "--format", "xml"), "--format xml is not known", "csv, tsv, json"),
    (("search", "--queries", QUERIES, "--run", "x"), "--run", "--write-run x"),
    (("similar", "demo-001", "--backend", "hf"), "--backend", "--expand keywords"),
    (("expand", "rm3", "--queries", QUERIES, "--dtype", "float32"), "--dtype", "keywords"),
    (("expand", "rm3", "--queries", QUERIES, "--with-replies"), "--with-replies", "keywords"),
    (("expand", "--clear", "--queries", QUERIES), "--queries", "leave --queries out"),
    (("expand", "keywords", "--show-prompt", "--out", "x"), "--out", "leave --out out"),
    (("evaluate-ir", "--data", SAMPLE, "--no-cache"), "--no-cache", "--system keywords"),
    (("evaluate-ir", "--data", SAMPLE, "--rrf-k", "20"), "--rrf-k", "fusion"),
    (("evaluate-ir", "--data", SAMPLE, "--format", "latex", "--json"), "--json", "one of them"),
    (("evaluate-ir", "--run", "x", "--qrels", QRELS, "--index", "y"), "--index", "--write-run"),
    (("evaluate-ir", "--run", "x", "--qrels", QRELS, "--k1", "1"), "--k1", "leave --k1 out"),
    (("evaluate-ir", "--run", "x", "--queries", QUERIES), "--queries", "--qrels"),
    (("tune-ir", "--data", SAMPLE, "--model", "x"), "--model", "--system keywords"),
    (("tune-ir", "--queries", QUERIES, "--qrels", QRELS, "--split", "x"), "--split", "--data"),
    (("index", "info", "--ids", "--json"), "--json", "leave --json out"),
]


@pytest.mark.parametrize(("arguments", "option", "hint"), CONFLICTS)
def test_an_option_without_effect_is_a_usage_error_that_names_it(
    arguments: tuple[object, ...], option: str, hint: str, tmp_path: Path
) -> None:
    outcome = patientdx(*arguments, env={"PATIENTDX_CACHE": str(tmp_path)})
    assert (outcome.code, outcome.out) == (2, "")
    error, _, rest = outcome.err.partition("\n")
    assert error.startswith("error: ")
    assert option in error
    assert hint in rest


def test_a_variable_of_the_environment_is_no_conflict(sample_index: Path, tmp_path: Path) -> None:
    """PATIENTDX_MODEL and PATIENTDX_INDEX are set once for all commands."""
    env = {"PATIENTDX_MODEL": "some-model", "PATIENTDX_CACHE": str(tmp_path)}
    assert patientdx("search", "gout", "--index", sample_index, env=env).code == 0
    run = tmp_path / "hits.trec"
    run.write_text("demo-001 Q0 demo-002 1 2.5 x\n", encoding="utf-8")
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("demo-001 0 demo-002 1\n", encoding="utf-8")
    env["PATIENTDX_INDEX"] = str(sample_index)
    outcome = patientdx("evaluate-ir", "--run", run, "--qrels", qrels, env=env)
    assert outcome.code == 0, outcome.err
