"""Queries, and the folders of retrieval benchmarks."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paths import SHARED

from patientdx.errors import InputError, PatientDxError
from patientdx.formats import (
    QueryFields,
    QueryReport,
    evaluation_files,
    read_qrels,
    read_queries,
)
from patientdx.records import Query

TWO = [Query("1", "cough"), Query("q-2", "fever, chills")]


@pytest.mark.parametrize(
    "content",
    [
        '{"_id": "1", "text": "cough"}\n\n{"_id": "q-2", "text": "fever, chills"}\n',
        '{"id": 1, "query": "cough", "disease": "x"}\n{"query_id": "q-2", "text": "fever, chills"}',
        "1\tcough\n\nq-2\tfever, chills\n",
        "query_id\ttext\r\n1\tcough\r\nq-2\tfever, chills\r\n",
        "patient_uid\tpatient\n1\tcough\nq-2\tfever, chills\n",
        "Query ID\tScore\tQuery\n1\t7\tcough\nq-2\t8\tfever, chills\n",
        '{"id": "1", "contents": "cough"}\n{"id": "q-2", "contents": "fever, chills"}\n',
        'qid,query\n1,cough\nq-2,"fever, chills"\n',
        'docno;text\n1;cough\n\nq-2;"fever, chills"\n',
        (
            '<topics task="x"><topic number="1"> cough\n</topic>'
            '<topic number="q-2" type="d">fever,\n chills</topic></topics>'
        ),
        (
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<topics><topic number="1"><note>n</note>'
            "<description>d</description><summary>cough</summary></topic>"
            '<topic number="q-2"><summary>fever, <b>chills</b></summary></topic></topics>'
        ),
        (
            "<topics><topic><num>Number: 1</num><title>cough</title></topic>"
            "<topic><num>q-2</num><title>fever,&#32;chills</title><desc>d</desc></topic></topics>"
        ),
        (
            "<top>\n<num> Number: 1\n<title> Topic: cough\n\n<desc> Description:\nd\n</top>\n"
            "<top>\n<num> Number: q-2 </num>\n<title>\nfever,\nchills\n<narr> Narrative:\nn\n</top>"
        ),
    ],
)
def test_forms_of_queries(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    assert list(read_queries(tmp_path / "queries.jsonl.gz")) == TWO
    assert list(read_queries(tmp_path)) == TWO
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    assert list(read_queries("-")) == TWO


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"_id": "1", "text": "x"}\n{"_id": "1", "text": "y"}',
            ":2: query `1` appeared on line 1",
        ),
        ('{"_id": "1"}', ":1: field `text` is missing"),
        ('{"text": "x"}', ":1: field `_id` is missing"),
        ('{"_id": "1", "text": ""}', ":1: the text in `text` is empty"),
        ('{"_id": "1", "text": "x"}\n{', ":2: malformed JSON"),
        ("1\tx\n2\n", ":2: 1 column where a query has 2"),
        ("q\td\t1\n", ":1: 3 columns where a query has 2"),
        ("1\t \n", ":1: the text in `text` is empty"),
    ],
)
def test_bad_queries(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "q"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        list(read_queries(path))
    assert caught.value.message.startswith(f"{path}{problem}")


CDS = (
    '<topics><topic number="1" type="test"><note>n</note><description>d &amp; e</description>'
    "<summary>s</summary></topic></topics>"
)
DISEASES = (
    '<topics><topic number="1"><disease>Melanoma</disease><gene>BRAF</gene></topic>'
    '<topic number="2"><disease>Glioma</disease></topic></topics>'
)
TEMPLATE = (
    '<topics><topic number="1" template="glaucoma"><field name="eye pressure">20</field>'
    '<field name="notes"/></topic></topics>'
)


@pytest.mark.parametrize(
    ("content", "text", "texts"),
    [
        (CDS, None, ["s"]),
        (CDS, "description", ["d & e"]),
        (CDS, "summary+note", ["s\nn"]),
        (DISEASES, None, ["Melanoma\nBRAF", "Glioma"]),
        (DISEASES, "Gene+Disease", ["BRAF\nMelanoma", "Glioma"]),
        (TEMPLATE, None, ["eye pressure: 20"]),
        ('{"_id": "1", "text": "x", "a+b": "y"}', "a+b", ["y"]),
        ("id,text,other\n1,x,y\n", "other", ["y"]),
        ("no\twords\n1\tx\n", "words", ["x"]),
        ('{"id": "1", "title": "t", "text": "x"}\n{"id": "2", "text": "y"}', None, ["x", "y"]),
    ],
)
def test_the_field_of_the_text_may_be_named(
    tmp_path: Path, content: str, text: str | None, texts: list[str]
) -> None:
    (tmp_path / "q").write_text(content)
    fields = QueryFields("no" if content.startswith("no") else None, text)
    assert [query.text for query in read_queries(tmp_path / "q", fields=fields)] == texts


def test_what_was_chosen_and_left_out_is_reported(tmp_path: Path) -> None:
    path, report = tmp_path / "q", QueryReport()
    path.write_text(
        CDS.replace("<summary>s", '<summary>s</summary></topic><topic number="2"><summary>')
    )
    assert [query.query_id for query in read_queries(path, report=report)] == ["1"]
    assert report.text_fields == ("summary",)
    assert set(report.other_fields) == {"description", "note"}
    assert report.empty == ["2"]


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/hostname">',
        '<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;',
    ],
)
def test_entities_of_topics_are_refused(tmp_path: Path, declaration: str) -> None:
    path = tmp_path / "topics.xml"
    path.write_text(f'<!DOCTYPE t [{declaration}]>\n<t><topic number="1">&b;&a;</topic></t>')
    with pytest.raises(InputError, match="entities are not read"):
        list(read_queries(path))


def test_a_title_is_never_taken_for_a_missing_text(tmp_path: Path) -> None:
    path = tmp_path / "q"
    path.write_text('{"id": "1", "title": "t", "text": "x"}\n{"id": "2", "title": "t"}\n')
    with pytest.raises(InputError, match="field `text` is missing"):
        list(read_queries(path))


def test_a_json_list_of_queries(tmp_path: Path) -> None:
    path = tmp_path / "queries.json"
    path.write_text('[{"_id": "1", "text": "cough"}, {"_id": "q-2", "text": "fever, chills"}]')
    assert list(read_queries(path)) == TWO


def test_a_folder_without_queries(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no queries\.jsonl"):
        list(read_queries(tmp_path))


PIECES = (
    *(
        '<topic number="1">',
        "<top>",
        "</top>",
        "<num> Number: 1",
        "<title>",
        "</title>",
        "</topic>",
    ),
    *("<topics>", "</topics>", "x", "&x;", "\n", "<!DOCTYPE t>", "id,text\n", "qid\t", ";", '"'),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=99)
    | st.text('[]{}",:_idtex\t\n1', max_size=60).map(str.encode)
    | st.lists(st.sampled_from(PIECES), max_size=12).map("".join).map(str.encode)
)
def test_any_bytes_give_queries_or_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "q").write_bytes(data)
    try:
        fine = all(query.query_id and query.text for query in read_queries(tmp_path / "q"))
    except PatientDxError as error:
        fine = error.message.startswith(str(tmp_path))
    assert fine


QUERY_LINE = json.dumps({"_id": "1", "text": "cough"})
LAYOUTS = [
    ("queries.jsonl", "qrels/test.tsv", "corpus.jsonl"),
    ("queries.jsonl.gz", "qrels/test.tsv.gz", "corpus.jsonl.gz"),
    ("queries/test_queries.jsonl", "PPR/qrels_test.tsv", "PPR/corpus.jsonl"),
    ("queries/test_queries.jsonl.zst", "PPR/PPR_test_qrels.tsv", "PPR/PPR_corpus.jsonl.zst"),
    (
        "queries/test_queries.jsonl",
        "patient2patient_retrieval/PPR_test_qrels.tsv",
        "patient2patient_retrieval/PPR_corpus.jsonl",
    ),
    ("queries/test_queries.jsonl", "patient2patient_retrieval/qrels_test.tsv", None),
]


PATIENTS = {name for _, name, _ in LAYOUTS if "PPR" in name or "patient2patient" in name}
LAYOUTS += [
    ("queries/test_queries.jsonl", "PAR/qrels_test.tsv", "PAR/corpus.jsonl"),
    ("queries/test_queries.jsonl", "PAR/PAR_test_qrels.tsv", "PAR/PAR_corpus.jsonl.zst"),
    ("queries/test_queries.jsonl", "patient2article_retrieval/PAR_test_qrels.tsv", None),
    ("queries_test.jsonl", "qrels_test.tsv", "corpus.jsonl"),
    ("benchmark/queries_test.jsonl", "benchmark/qrels_test.tsv", "benchmark/corpus.jsonl"),
    ("queries.jsonl", "qrels/test.jsonl", "corpus.jsonl"),
]


@pytest.mark.parametrize(("queries", "qrels", "corpus"), LAYOUTS)
def test_layouts(tmp_path: Path, queries: str, qrels: str, corpus: str | None) -> None:
    for name in (queries, qrels, corpus, qrels.replace("test", "dev")):
        if name:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    files = evaluation_files(tmp_path, "test")
    assert files.queries == tmp_path / queries
    assert files.qrels == tmp_path / qrels
    assert files.of_patients == (qrels in PATIENTS)
    assert files.corpus == (tmp_path / corpus if corpus else None)
    with pytest.raises(InputError, match="of a split `train`") as caught:
        evaluation_files(tmp_path, "train")
    assert caught.value.hint == "splits found: dev, test"


def test_the_task_folder_of_recds_itself(tmp_path: Path) -> None:
    for name in ("queries/dev_queries.jsonl", "PPR/qrels_dev.tsv", "PPR/corpus.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = evaluation_files(tmp_path / "PPR", "dev")
    assert files.queries.samefile(tmp_path / "queries/dev_queries.jsonl")
    assert files.corpus == tmp_path / "PPR/corpus.jsonl"


def test_the_articles_of_recds_are_chosen_by_naming_their_folder(tmp_path: Path) -> None:
    for name in ("queries/dev_queries.jsonl", "PPR/qrels_dev.tsv", "PAR/qrels_dev.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for folder, of_patients in (("", True), ("PPR", True), ("PAR", False)):
        files = evaluation_files(tmp_path / folder, "dev")
        assert files.qrels.samefile(tmp_path / (folder or "PPR") / "qrels_dev.tsv")
        assert files.of_patients == of_patients


def test_incomplete_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        evaluation_files(tmp_path / "missing", "test")
    with pytest.raises(InputError) as caught:
        evaluation_files(tmp_path, "test")
    assert caught.value.hint == "splits found: none"
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels/test.tsv").touch()
    with pytest.raises(InputError, match="no queries of the split `test`"):
        evaluation_files(tmp_path, "test")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "queries", "pairs"),
    [("phenopackets", 285, 5667), ("pmc_plus_e3c", 100, 100), ("nfcorpus", 161, 5737)],
)
def test_shared_folders(folder: str, queries: int, pairs: int) -> None:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"shared data `{folder}` is absent")
    files = evaluation_files(SHARED / folder, "dev")
    qrels = read_qrels(files.qrels)
    assert len(list(read_queries(files.queries))) == len(qrels) == queries
    assert sum(map(len, qrels.values())) == pairs
    assert files.corpus == SHARED / folder / "corpus.jsonl.gz"


@pytest.mark.parametrize("query_id", ["[1]", "{q", "[:a"])
def test_ids_of_tab_separated_queries_may_begin_as_json_does(tmp_path: Path, query_id: str) -> None:
    (tmp_path / "q.tsv").write_text(f"{query_id}\tfever\n2\tcough\n", encoding="utf-8")
    assert list(read_queries(tmp_path / "q.tsv")) == [Query(query_id, "fever"), Query("2", "cough")]


def test_json_may_have_tabs_between_its_parts(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{\t"_id":\t"1",\t"text":\t"fever"}\n', encoding="utf-8")
    assert list(read_queries(tmp_path / "q.jsonl")) == [Query("1", "fever")]
