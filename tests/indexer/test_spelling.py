"""British and American spellings: which words meet, which stay apart, and what an index stores."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
from corpora import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.analysis import AnalysisSettings, Analyzer
from indexer.segments.term_counter import CompiledCounter, PythonCounter
from indexer.spelling import american_spellings, speller
from patientdx import capabilities
from patientdx.errors import ExtraMissingError, InputError

pytestmark = pytest.mark.skipif(
    find_spec("breame") is None, reason="American spellings come with an extra"
)
PIECES = ["haem", "oedem", "oesoph", "i", "o", "aemi", "a", "tumour", "alise", "d", "foet", "µ"]
MEETING = """
haemoglobin hemoglobin, oedema edema, oedematous edematous, tumour tumor, tumours tumors,
anaemia anemia, anaemic anemic, diarrhoea diarrhea, paediatric pediatric, foetal fetal,
oesophagus esophagus, oesophagitis esophagitis, gynaecomastia gynecomastia, orthopaedic
orthopedic, anaesthesia anesthesia, paraesthesia paresthesia, caecum cecum, faecal fecal,
leucocyte leukocyte, leukaemia leukemia, dyspnoea dyspnea, tachypnoeic tachypneic, rhinorrhoea
rhinorrhea, haematuria hematuria, ischaemic ischemic, coeliac celiac, naevi nevi, melaena
melena, oestrogen estrogen, aetiology etiology, lymphoedema lymphedema, papilloedema
papilledema, hydrocoele hydrocele, gastrooesophageal gastroesophageal, transoesophageal
transesophageal, pancytopaenia pancytopenia, sulphonamide sulfonamide, fibre fiber, titres
titers, millilitres milliliters, colour color, labelled labeled, haemodialysed hemodialyzed,
hospitalisation hospitalization, localised localized, phaeochromocytoma pheochromocytoma,
praevia previa, behavioural behavioral, manoeuvre maneuver, homoeostasis homeostasis
"""
APART = """
angioedema angiedema, gastroesophageal gastresophageal, phytoestrogen phytestrogen, rigour
rigor, tyre tire, tonne ton, groyne groin, philtre filter, draught draft, arise arize,
muscularis musculariz, leucine leukine, embolism embolizm, poem pem, michael michel,
improvisation improvization, haemolysis hemolyzis, precise precize
"""


def couples(text: str) -> list[tuple[str, ...]]:
    """The pairs of words in a text with commas between them."""
    return [tuple(couple.split()) for couple in text.split(",")]


@pytest.fixture(scope="module")
def american() -> AnalysisSettings:
    return AnalysisSettings(spelling="american")


@pytest.mark.parametrize(("british", "expected"), couples(MEETING))
def test_british_words_meet_their_american_spelling(
    british: str, expected: str, american: AnalysisSettings
) -> None:
    analyzer = Analyzer(replace(american, stemmer="none"))
    assert analyzer.terms(f"{british} {british.title()} {expected}") == [expected] * 3
    assert analyzer.query_terms(british.upper()) == [expected]
    assert Analyzer(AnalysisSettings(stemmer="none")).terms(british) == [british]


@pytest.mark.parametrize(("word", "other"), couples(APART))
def test_other_words_stay_apart(word: str, other: str, american: AnalysisSettings) -> None:
    spell = speller(american.spellings)
    assert spell(word) != other
    assert spell(other) != spell(word)


def test_american_spellings_stay_as_they_are(american: AnalysisSettings) -> None:
    spell = speller(american.spellings)
    words = [word for word in american.spellings.split()[1::2] if "-" not in word]
    assert len(words) > 1700
    assert [word for word in words if spell(word) != word] == []


def spelled_plainly(word: str, spellings: str) -> str:
    """The definition: the word of the list, or its parts, the longest at each place."""
    words = spellings.split()
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    if word in pairs:
        return pairs[word]
    parts = sorted((p for p in pairs if "-" in p), key=lambda p: len(p.strip("-")), reverse=True)
    spelled, at = "", 0
    while at < len(word):
        for part in parts:
            letters = part.strip("-")
            fits = word.startswith(letters, at) and (part[0] == "-" or at == 0)
            if fits and (part[-1] == "-" or at + len(letters) == len(word)):
                spelled, at = spelled + pairs[part].strip("-"), at + len(letters)
                break
        else:
            spelled, at = spelled + word[at], at + 1
    return spelled


british_words = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.sampled_from([word for couple in couples(MEETING + "," + APART) for word in couple]),
)


@settings(max_examples=EXAMPLES)
@given(word=british_words)
def test_words_are_spelled_by_definition(word: str) -> None:
    spellings = american_spellings()
    assert speller(spellings)(word) == spelled_plainly(word, spellings)


@settings(max_examples=EXAMPLES)
@given(texts=st.lists(st.lists(british_words).map(" ".join), min_size=1, max_size=3))
def test_both_counters_spell_alike(texts: list[str]) -> None:
    chosen = AnalysisSettings(spelling="american")
    plain, compiled = PythonCounter(Analyzer(chosen)), CompiledCounter(Analyzer(chosen))
    for batch in (texts, texts[::-1]):
        expected, counts = plain.count(batch), compiled.count(batch)
        assert compiled.terms == plain.terms
        for name in ("terms", "tfs", "starts", "lengths"):
            assert getattr(counts, name).tolist() == getattr(expected, name).tolist()


@given(words=st.lists(british_words.filter(bool)))
def test_places_are_those_of_the_text_as_written(words: list[str]) -> None:
    analyzer = Analyzer(AnalysisSettings("none", "none", spelling="american"))
    text = ", ".join(words)
    spans = analyzer.spans(text)
    assert [text[start:end] for start, end, _ in spans] == words
    assert [term for _, _, term in spans] == analyzer.terms(text)


def test_settings_store_the_list(
    american: AnalysisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = american.to_json()
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)
    assert AnalysisSettings.from_json(stored) == american  # needs no package
    assert not {"spelling", "spellings"} & set(AnalysisSettings().to_json())


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)
    with pytest.raises(ExtraMissingError) as raised:
        AnalysisSettings(spelling="american")
    assert "`breame` is needed" in str(raised.value)
    assert "pip install 'patientdx[languages]'" in str(raised.value.hint)


def test_an_unknown_spelling_is_refused() -> None:
    with pytest.raises(InputError, match="unknown spelling `british`"):
        AnalysisSettings(spelling="british")


@pytest.mark.parametrize(
    "change",
    [{"spellings": ""}, {"spellings": "odd"}, {"spelling": "none"}, {"spelling": "british"}],
)
def test_damaged_settings_are_refused(change: dict[str, str], american: AnalysisSettings) -> None:
    with pytest.raises((ValueError, InputError)):
        AnalysisSettings.from_json({**american.to_json(), **change})
