"""Vocabularies out of OBO, CSV and TSV files, good and bad."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import SHARED

from expander.concepts.concept import Concept, ConceptName
from expander.concepts.vocabulary import read_vocabulary
from patientdx.errors import InputError

VOCAB = SHARED / "vocab"

OBO = r"""format-version: 1.2
data-version: invented

[Term]
id: X:1
name: Everything

[Term]
id: X:2
name: Epistaxis
def: "Bleeding: out of the nose." [ref]
synonym: "Nosebleed" EXACT layperson []
synonym: "nosebleed" RELATED []
synonym: "Bleeding \"from\" the nose\, often" NARROW [a:b, c\:d]
synonym: "Rhinorrhagia (disorder)" BROAD []
synonym: "Nose flow" EXACT obsolete_synonym []
is_a: X:1 ! Everything

[Term]
id: X:3
name: obsolete Nose thing
is_obsolete: true
replaced_by: X:2

[Term]
id: X:4
name: Posterior epistaxis
! a comment
is_a: X:2 {source="x"} ! Epistaxis

[Typedef]
id: part_of
name: part of
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_obo_terms_with_scopes_and_escapes(tmp_path: Path) -> None:
    concepts = read_vocabulary(write(tmp_path / "x.obo", OBO))
    assert [concept.concept_id for concept in concepts] == ["X:1", "X:2", "X:4"]
    assert concepts[1] == Concept(
        "X:2",
        (
            ConceptName("Epistaxis"),
            ConceptName("Nosebleed"),
            ConceptName('Bleeding "from" the nose, often', "NARROW"),
            ConceptName("Rhinorrhagia", "BROAD"),
        ),
        ("X:1",),
    )
    assert concepts[2].parents == ("X:2",)


def test_obo_terms_below_a_root(tmp_path: Path) -> None:
    path = write(tmp_path / "x.obo", OBO)
    assert [concept.concept_id for concept in read_vocabulary(path, root="X:2")] == ["X:4"]
    assert [concept.concept_id for concept in read_vocabulary(path, root="X:1")] == ["X:2", "X:4"]
    with pytest.raises(InputError, match="no term is below `X:9`"):
        read_vocabulary(path, root="X:9")


def test_the_end_of_a_file_ends_a_term_and_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.obo.gz"
    path.write_bytes(gzip.compress(OBO.partition("[Typedef]")[0].strip().encode()))
    assert [concept.concept_id for concept in read_vocabulary(path)] == ["X:1", "X:2", "X:4"]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[Term]\nid: X:1\n", 1, "without id or name"),
        ("format-version: 1.2\n[Term]\nname: x\n", 2, "without id or name"),
        ("[Term]\nid: X:1\nname: x\nsynonym: Nosebleed EXACT []\n", 4, "malformed synonym"),
        ("[Term]\nid: X:1\nname\n", 3, "without a value"),
    ],
)
def test_errors_in_obo_files_name_the_line(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    path = write(tmp_path / "x.obo", text)
    with pytest.raises(InputError, match=problem) as caught:
        read_vocabulary(path)
    assert caught.value.message.startswith(f"{path}:{line}:")


def test_names_by_id(tmp_path: Path) -> None:
    path = write(
        tmp_path / "names.tsv",
        "doid\tname\ttype\nD:1\tnosebleed\texact-synonym\nD:1\tepistaxis\tname\n"
        'D:2\t"a\ttab"\tname\nD:2\tb (disorder)\tnarrow-synonym\nD:1\tNosebleed\trelated-synonym\n',
    )
    assert read_vocabulary(path) == [
        Concept("D:1", (ConceptName("epistaxis"), ConceptName("nosebleed"))),
        Concept("D:2", (ConceptName("a\ttab"), ConceptName("b", "NARROW"))),
    ]


def test_name_pairs_and_ambiguous_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "short.csv",
        '"abr","long_form"\n"MI","myocardial infarction"\n"AF","atrial flutter"\n'
        '"AF","amniotic fluid"\n"MI","Myocardial Infarction"\n"",""\n',
    )
    assert [concept.names for concept in read_vocabulary(path)] == [
        (ConceptName("myocardial infarction"), ConceptName("MI")),
        (ConceptName("atrial flutter"), ConceptName("AF", is_ambiguous=True)),
        (ConceptName("amniotic fluid"), ConceptName("AF", is_ambiguous=True)),
    ]
    headless = write(tmp_path / "headless.csv", "gout,podagra\n")
    assert read_vocabulary(headless)[0].names == (ConceptName("podagra"), ConceptName("gout"))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a,b\nalone\n", 2, "one column"),
        ('a,b\n"open,c\n', 2, "malformed row"),
        ("id\tname\ttype\nx\ty\n", 2, "2 columns instead of 3"),
    ],
)
def test_errors_in_lists_name_the_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write(tmp_path / "x.csv", text)
    with pytest.raises(InputError, match=problem) as caught:
        read_vocabulary(path)
    assert caught.value.message.startswith(f"{path}:{line}:")


def test_empty_and_missing_files_and_lists_with_a_root_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        read_vocabulary(write(tmp_path / "empty", "\n \n"))
    with pytest.raises(InputError, match="no such file"):
        read_vocabulary(tmp_path / "missing.obo")
    with pytest.raises(InputError, match="no terms"):
        read_vocabulary(write(tmp_path / "x.obo", "format-version: 1.2\n"))
    with pytest.raises(InputError, match="root"):
        read_vocabulary(write(tmp_path / "x.csv", "a,b\n"), root="X:1")


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    for start in (b"", b"[Term]\n", b"id\tname\ttype\n", b"a,b\n"):
        path.write_bytes(start + data)
        with suppress(InputError):
            assert all(isinstance(concept, Concept) for concept in read_vocabulary(path))


@pytest.mark.shared
@pytest.mark.skipif(not VOCAB.is_dir(), reason="../shared/data/vocab is not there")
def test_real_vocabularies_are_read_completely() -> None:
    """Counts as data-formats.md gives them, less what is repeated or obsolete."""
    hpo = read_vocabulary(VOCAB / "hp.obo.gz")
    assert len(hpo) == 19_944 - 555
    by_id = {concept.concept_id: concept for concept in hpo}
    assert ConceptName("Nosebleed") in by_id["HP:0000421"].names
    below = read_vocabulary(VOCAB / "hp.obo.gz", root="HP:0000118")
    assert "HP:0012828" not in {concept.concept_id for concept in below}  # Severe
    listed = read_vocabulary(VOCAB / "do_term-names.tsv")
    assert len(listed) == 6_574
    assert len(read_vocabulary(VOCAB / "HumanDO_2016.obo.gz")) == len(listed)
    assert len(read_vocabulary(VOCAB / "wikipedia_abbreviation_database.csv")) > 2_500
