"""Concepts in notes, and what their synonyms add."""

import pytest
from expander_fakes import index_of
from paths import SHARED

from expander.concepts.concept import Concept, ConceptName
from expander.concepts.finder import ConceptFinder
from expander.strategies.synonyms import Synonyms, SynonymsSettings
from indexer.index import Index
from patientdx.errors import InputError
from patientdx.records import Query

VOCABULARY = [
    Concept(
        "X:1",
        (
            ConceptName("Epistaxis"),
            ConceptName("Nosebleed"),
            ConceptName("Bleeding nose", "RELATED"),
        ),
    ),
    Concept(
        "X:2",
        (ConceptName("Muscle weakness"), ConceptName("Myasthenia"), ConceptName("Weak muscles")),
    ),
    Concept(
        "X:3", (ConceptName("Proximal muscle weakness"), ConceptName("Weakness of upper arms"))
    ),
    Concept("X:4", (ConceptName("Atrial septal defect"), ConceptName("ASD"))),
    Concept("X:5", (ConceptName("Gout"), ConceptName("Podagra"))),
    Concept("X:6", (ConceptName("Gout"), ConceptName("Uric arthritis"))),
    Concept("X:7", (ConceptName("Autism"), ConceptName("AUT", is_ambiguous=True))),
]
NOTES = [
    "nosebleed epistaxis bleeding nose",
    "muscle weakness myasthenia weak arms upper proximal",
    "atrial septal defect ASD",
    "gout podagra uric arthritis autism aut",
    *["common words of notes"] * 16,
]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index_of(tmp_path_factory.mktemp("synonyms") / "index", NOTES)


def find_concepts(index: Index, text: str) -> list[tuple[str, bool]]:
    mentions = ConceptFinder(VOCABULARY, index).find(text)
    return [(VOCABULARY[n].concept_id, m.negated) for m in mentions for n in m.concepts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epistaxis", ["X:1"]),
        ("EPISTAXIS and Nosebleeds", ["X:1", "X:1"]),
        ("weak muscle", ["X:2"]),
        ("proximal muscle weakness", ["X:3"]),
        ("muscle weakness, proximal", ["X:2"]),
        ("weakness of the upper arm", ["X:3"]),
        ("muscle, weakness", []),
        ("muscle. Weakness", []),
        ("an ASD", ["X:4"]),
        ("an asd", []),
        ("gout", ["X:5", "X:6"]),
        ("AUT", []),
        ("", []),
    ],
)
def test_the_longest_names_are_found_in_any_inflection(
    index: Index, text: str, expected: list[str]
) -> None:
    assert [concept for concept, _ in find_concepts(index, text)] == expected


def test_negated_mentions_are_marked(index: Index) -> None:
    assert find_concepts(index, "No epistaxis or gout. Muscle weakness") == [
        ("X:1", True),
        ("X:5", True),
        ("X:6", True),
        ("X:2", False),
    ]


def added(index: Index, text: str, **settings: object) -> dict[str, float]:
    chosen = SynonymsSettings(**settings)  # type: ignore[arg-type]
    strategy = Synonyms(chosen, corpus=index, vocabulary=VOCABULARY)
    return dict(strategy.expand_many([Query("q", text)])[0].weights)


def test_the_words_of_other_exact_names_share_the_weight(index: Index) -> None:
    assert added(index, "epistaxis", weight=0.5) == {"nosebleed": 0.5}
    assert added(index, "gout", weight=0.6) == pytest.approx(
        {"podagra": 0.2, "uric": 0.2, "arthritis": 0.2}
    )
    # The mention has two words; only this word of the other names is new.
    assert added(index, "muscle weakness", weight=0.5) == {"myasthenia": 1.0}
    assert added(index, "muscle weakness", weight=0.5, shared=False) == {"myasthenia": 0.5}


def test_scopes_can_be_chosen(index: Index) -> None:
    words = added(index, "epistaxis", scopes=("EXACT", "RELATED"), weight=0.3)
    assert words == pytest.approx({"nosebleed": 0.1, "bleeding": 0.1, "nose": 0.1})
    assert added(index, "nosebleed", scopes=("RELATED",), weight=0.2) == pytest.approx(
        {"bleeding": 0.1, "nose": 0.1}
    )


def test_a_concept_counts_once_and_negated_ones_add_nothing(index: Index) -> None:
    assert added(index, "epistaxis, epistaxis and epistaxis") == {"nosebleed": 0.3}
    assert added(index, "no epistaxis") == {}
    assert added(index, "no epistaxis then. Epistaxis since") == {"nosebleed": 0.3}


def test_words_that_are_absent_or_too_common_in_the_corpus_are_left_out(index: Index) -> None:
    vocabulary = [Concept("X", (ConceptName("gout"), ConceptName("unindexed common podagra")))]
    strategy = Synonyms(corpus=index, vocabulary=vocabulary)
    (query,) = strategy.expand_many([Query("q", "gout")])
    assert query.weights == {"podagra": 0.3}


def test_queries_keep_their_order_text_weights_and_terms(index: Index) -> None:
    queries = [Query("a", "nothing here"), Query("b", "gout", {"podagra": 1.0}, {"x": 2.0})]
    expanded = Synonyms(corpus=index, vocabulary=VOCABULARY[4:5]).expand_many(queries)
    assert expanded[0] is queries[0]
    assert expanded[1] == Query("b", "gout", {"podagra": 1.3}, {"x": 2.0})


def test_the_concepts_of_a_note_can_be_shown(index: Index) -> None:
    strategy = Synonyms(corpus=index, vocabulary=VOCABULARY)
    shown = strategy.concepts("an ASD without epistaxis")
    assert [(concept.names[0].text, is_negated) for concept, is_negated in shown] == [
        ("Atrial septal defect", False),
        ("Epistaxis", True),
    ]


@pytest.mark.parametrize("settings", [{"weight": -1.0}, {"max_share": 2.0}, {"scopes": ("ALL",)}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError):
        SynonymsSettings(**settings)  # type: ignore[arg-type]


DATA = SHARED


@pytest.mark.shared
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_negated_phenotypes_of_phenopackets_are_recognised(index: Index) -> None:
    """Their texts are a template: "presented with A, B. There was no C, D."."""
    from expander.concepts.vocabulary import read_vocabulary
    from patientdx.formats import read_queries

    hpo = read_vocabulary(DATA / "vocab" / "hp.obo.gz", root="HP:0000118")
    finder = ConceptFinder(hpo, index)
    wrong = seen = 0
    for query in read_queries(DATA / "phenopackets"):
        affirmed, _, negated = query.text.partition("There was no")
        for text, expected in (
            (affirmed, False),
            (f"There was no{negated}" if negated else "", True),
        ):
            mentions = finder.find(text)
            seen += len(mentions)
            wrong += sum(mention.negated != expected for mention in mentions)
    assert seen > 3000
    assert wrong / seen < 0.01
