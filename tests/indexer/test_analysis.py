"""Analysis: words, stop words, stems, places in the text; and counting, in both ways."""

import re
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path
from unicodedata import category

import pytest
import Stemmer
from corpora import EXAMPLES, analysis_tokens
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import stop_words

from indexer.analysis import AnalysisSettings, Analyzer, read_stopwords
from indexer.segments.term_counter import CompiledCounter, PythonCounter, TermCounter
from patientdx.characters import fold, folded_words
from patientdx.errors import ExtraMissingError, InputError

# Words of one letter, marks, astral letters, digits and signs, letters whose lower case is
# longer, lone surrogates: and next to them what Python itself calls a word or does not.
tricky = st.text(
    st.sampled_from(
        "aAzZ09_ .-'\n\t\u00a0éÉßẞİıΣσςÅ\u0301\u0307日本٣²½ªⅣ𝒳𝔸😀𐐀\ud800\u200d"
        "\u00b5\u03bc\ufb01\u00ad\u0345ｱﾞ가\u1100\u1161\u11a8ㄱㅏ㉮ก้ำ中\u0323ＡﷺﹰÅ℃™ﬃ\u0940\u093c"
    )
)
# Ideographs that a later Unicode assigns are letters already, which the definition cannot know.
texts = st.one_of(st.text(st.characters(exclude_categories=["Cn"])), tricky)
settings_of = st.builds(
    AnalysisSettings,
    st.sampled_from(["none", "english"]),
    st.sampled_from(["none", "porter", "english"]),
    normalization=st.sampled_from(["nfkc", "none"]),
)


@settings(max_examples=EXAMPLES)
@given(text=texts, chosen=settings_of)
@example("İstanbul'da ΟΔΟΣ", AnalysisSettings("none", "none"))
@example("", AnalysisSettings())
def test_terms_are_words_without_stop_words_stemmed(text: str, chosen: AnalysisSettings) -> None:
    analyzer = Analyzer(chosen)
    expected = list(analysis_tokens(chosen)(text))
    assert analyzer.query_terms(text) == list(analysis_tokens(chosen, query=True)(text))
    assert analyzer.terms(text) == expected
    assert analyzer.terms(text) == expected  # remembered words change nothing


@given(text=texts)
def test_without_lists_and_stems_terms_are_the_words(text: str) -> None:
    analyzer = Analyzer(AnalysisSettings("none", "none", normalization="none"))
    assert analyzer.terms(text) == re.findall(r"\w+", text.lower())
    assert analyzer.query_terms(text) == analyzer.terms(text)


@pytest.mark.parametrize("stemmer", ["porter", "english"])
@given(text=st.text(st.characters(codec="ascii", categories=["L"])))
@example("running generalizations dying skis")
def test_stems_are_those_of_pystemmer(stemmer: str, text: str) -> None:
    words = re.findall(r"\w+", text.lower())
    analyzer = Analyzer(AnalysisSettings("none", stemmer))
    assert analyzer.terms(text) == Stemmer.Stemmer(stemmer).stemWords(words)


def test_stems_and_stop_words_by_example() -> None:
    text = "The fevers of the running patients were not his."
    assert Analyzer(AnalysisSettings("english", "english")).terms(text) == [
        "fever",
        "run",
        "patient",
    ]
    assert Analyzer(AnalysisSettings("none", "none")).terms("Na+ 3.5 a_b é") == [
        *("na", "3", "5", "a_b", "é")
    ]


def test_the_stop_list_is_snowballs() -> None:
    words = stop_words()
    assert {"i", "the", "of", "and", "not", "very"} <= words
    assert all(word == word.lower() for word in words)
    assert len(words) > 100


@pytest.mark.parametrize(("stopwords", "stemmer"), [("klingon", "none"), ("none", "lancaster")])
def test_unknown_names_are_refused(stopwords: str, stemmer: str) -> None:
    pytest.importorskip("stop_words", reason="stop-words comes with an extra")
    with pytest.raises(InputError, match="unknown"):
        AnalysisSettings(stopwords, stemmer)


@pytest.mark.parametrize("name", sorted(Stemmer.algorithms()))
def test_every_stemmer_of_snowball_is_offered(name: str) -> None:
    words = "hypertensions fièvres Entzündungen λοιμώξεις болезни रोगियों حمى hastalıklar".lower()
    analyzer = Analyzer(AnalysisSettings("none", name, normalization="none"))
    assert analyzer.terms(words) == Stemmer.Stemmer(name).stemWords(re.findall(r"\w+", words))
    folded = Analyzer(AnalysisSettings("none", name)).terms(words)
    assert len(folded) == len(words.split())


def test_a_language_brings_its_stop_list() -> None:
    pytest.importorskip("stop_words", reason="stop-words comes with an extra")
    french = AnalysisSettings.from_options(None, "french")
    assert french == AnalysisSettings("french", "french")
    assert {"le", "dans", "été"} <= set(french.words)
    text = "Le patient a été hospitalisé dans le service, e\u0301te\u0301 sans fie\u0300vres"
    terms = Analyzer(french).terms(text)
    assert terms == Analyzer(AnalysisSettings.from_json(french.to_json())).terms(text)
    assert terms == Analyzer(french).terms(text.upper())
    assert not {"le", "dans", "été"} & set(terms)
    assert terms == ["patient", "hospitalis", "servic", "fievr"]


@pytest.mark.parametrize(
    ("stemmer", "stopwords"),
    [("none", "english"), ("porter", "english"), ("german", "german"), ("basque", "none")],
)
def test_the_stop_list_follows_the_stemmer(stemmer: str, stopwords: str) -> None:
    pytest.importorskip("stop_words", reason="stop-words comes with an extra")
    assert AnalysisSettings.from_options(None, stemmer).stopwords == stopwords


def test_words_of_the_manifest_go_before_those_of_a_package() -> None:
    stored = AnalysisSettings("french", "french", ("lupus",))
    assert Analyzer(stored).terms("le lupus") == ["le"]


def test_a_language_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patientdx.capabilities.find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError, match="stop_words"):
        AnalysisSettings.from_options("french", "none")
    assert AnalysisSettings.from_options(None, "english").stopwords == "english"


def test_a_stop_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "stop.txt"
    path.write_text("\ufeffPatient man-made  # not: woman\n\n# only this\nÉté\n", encoding="utf-8")
    assert read_stopwords(path) == ("made", "man", "patient", "été")
    chosen = AnalysisSettings.from_options(str(path), "none")
    assert AnalysisSettings.from_json(chosen.to_json()) == chosen
    path.unlink()  # the words are kept, not the path
    assert Analyzer(chosen).terms("This patient, a woman, l'été, Man") == [
        *("this", "a", "woman", "l")
    ]


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\xff", None])
def test_a_stop_list_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "stop.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"stop\.txt: the stop list"):
        AnalysisSettings.from_options(str(path), "none")


@settings(max_examples=EXAMPLES)
@given(text=texts, chosen=settings_of)
@example("İstanbul", AnalysisSettings("none", "none", normalization="none"))
@example("ΟΔΟΣ'Α", AnalysisSettings("none", "none", normalization="none"))
def test_spans_without_normalization_lie_on_words(text: str, chosen: AnalysisSettings) -> None:
    analyzer = Analyzer(replace(chosen, normalization="none"))
    spans = analyzer.spans(text)
    words = [match.span() for match in re.finditer(r"\w+", text)]
    assert {span[:2] for span in spans} <= set(words)
    assert [span[0] for span in spans] == sorted(span[0] for span in spans)
    for start, end, term in spans:
        assert analyzer.terms(text[start:end])[0] == term


@settings(max_examples=EXAMPLES)
@given(text=texts, chosen=settings_of)
@example("a\u00adb½c ﷺ ｶﾞ\u200b", AnalysisSettings("none", "none"))
@example(" \u0301\u0345a㉮\u11a8", AnalysisSettings("none", "none"))
def test_spans_are_those_of_the_text_as_given(text: str, chosen: AnalysisSettings) -> None:
    analyzer = Analyzer(replace(chosen, normalization="nfkc"))
    spans = analyzer.spans(text)
    assert [term for _, _, term in spans] == analyzer.terms(text)
    assert [span[0] for span in spans] == sorted(span[0] for span in spans)
    for start, end, term in spans:
        assert 0 <= start < end <= len(text)
        assert term in analyzer.terms(text[start:end])


@given(text=st.text(st.characters(codec="ascii")), chosen=settings_of)
def test_spans_of_plain_text_miss_nothing(text: str, chosen: AnalysisSettings) -> None:
    analyzer = Analyzer(chosen)
    assert [term for _, _, term in analyzer.spans(text)] == analyzer.terms(text)


Plain = list[tuple[dict[str, int], int]]


def count_batches(counter: TermCounter, batches: list[list[str]]) -> Plain:
    """(term -> frequency in order of first appearance, length) of every note."""
    notes: Plain = []
    for batch in batches:
        counts = counter.count(batch)
        assert len(counts.lengths) == len(batch)
        assert len(counts.starts) == len(batch) + 1
        assert counts.starts[0] == 0
        assert counts.starts[-1] == len(counts.terms) == len(counts.tfs)
        for i, length in enumerate(counts.lengths.tolist()):
            part = slice(int(counts.starts[i]), int(counts.starts[i + 1]))
            names = [counter.terms[number] for number in counts.terms[part].tolist()]
            held = dict(zip(names, counts.tfs[part].tolist(), strict=True))
            assert len(held) == len(names)
            notes.append((held, length))
    return notes


def expected_counts(chosen: AnalysisSettings, batches: list[list[str]]) -> Plain:
    tokens = analysis_tokens(chosen)
    frequencies = [Counter(tokens(text)) for batch in batches for text in batch]
    return [(dict(held), held.total()) for held in frequencies]


@settings(max_examples=EXAMPLES)
@given(batches=st.lists(st.lists(texts, max_size=6), max_size=3), chosen=settings_of)
@example([[""]], AnalysisSettings())
@example([[], ["a", "", "a b a"], ["b"]], AnalysisSettings())
@example([["İ", "𝒳𝒴 x", "\U0010ffff", "e\u0301", "ß" * 300]], AnalysisSettings("none", "none"))
def test_both_counters_count_the_terms(batches: list[list[str]], chosen: AnalysisSettings) -> None:
    expected = expected_counts(chosen, batches)
    assert count_batches(PythonCounter(Analyzer(chosen)), batches) == expected
    assert count_batches(CompiledCounter(Analyzer(chosen)), batches) == expected


@pytest.mark.parametrize("normalization", ["none", "nfkc"])
def test_every_character_alone_and_between_letters(normalization: str) -> None:
    chosen = AnalysisSettings("none", "none", normalization=normalization)
    blocks = (range(0x3400), range(0x3400, 0xF900, 97), range(0xF900, 0x10000))
    codes = chain(*blocks, range(0x10000, 0x110000, 301))
    everything = [chr(code) for code in codes if category(chr(code)) != "Cn"]
    batches = [everything, [f"a{character}B" for character in everything]]
    expected = expected_counts(chosen, batches)
    assert count_batches(CompiledCounter(Analyzer(chosen)), batches) == expected


@pytest.mark.parametrize("kind", [PythonCounter, CompiledCounter])
def test_counters_grow_with_the_vocabulary(kind: type[PythonCounter | CompiledCounter]) -> None:
    chosen = AnalysisSettings("none", "none")
    # More distinct words (and more bytes of them) than any table begins with.
    many = [
        " ".join(f"w{n:x}{'é' * (n % 30)}" for n in range(i, i + 5000))
        for i in range(0, 100_000, 2500)
    ]
    batches = [many[:20], many[20:], many[:1]]
    assert count_batches(kind(Analyzer(chosen)), batches) == expected_counts(chosen, batches)


def test_one_word_longer_than_the_tables() -> None:
    chosen = AnalysisSettings("none", "none")
    batches = [["x" * 5_000_000, "y"], ["x" * 5_000_000]]
    assert count_batches(CompiledCounter(Analyzer(chosen)), batches) == expected_counts(
        chosen, batches
    )


@given(st.lists(st.text(max_size=12), max_size=8), st.sampled_from([" ", "\t", "\n", "\u00a0"]))
def test_words_of_a_text_are_those_of_all_of_it_folded(parts: list[str], blank: str) -> None:
    text = blank.join(parts)
    whole = [word for _, _, word in folded_words(fold(text), single=True)]
    assert Analyzer(AnalysisSettings("none", "none")).words(text) == whole
