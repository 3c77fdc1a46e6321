"""Searching for words in any of their Unicode spellings, and in scripts without blanks."""

from pathlib import Path

import pytest
from command_line import patientdx, rows, run_successfully

NOTES = {
    "micro-sign": "TSH 5 \u00b5IU/mL, cortisol 22 \u00b5g/dL",
    "greek-mu": "TSH 5 \u03bcIU/mL, cortisol 22 \u03bcg/dL",
    "composed": "M\u00e9ni\u00e8re disease with vertigo",
    "decomposed": "Me\u0301nie\u0300re disease with vertigo",
    "ligature": "the \ufb01ndings were clear",
    "soft-hyphen": "hyper\u00adtension and hypo\u200bkalemia were noted",
    "full-width": "ＣＴ scan, ６５ years",
    "zh": "患者男性，65岁，因发热、咳嗽三天入院，诊断为肺炎。",
    "ja": "患者は発熱と咳嗽で入院した。ﾊﾞﾘｳﾑ",
    "ko": "폐암이 의심되는 환자",
    "ko-jamo": "\u1111\u1168\u1105\u1167\u11b7",
    "th": "ผู้ป่วยมีไข้และไอ",
    "hi": "मरीज़ को बुखार और खांसी है",
    "ar": "يعاني المريض من حُمَّى، العمر ٦٥ سنة",
    "ar-forms": "\ufef3\ufecc\ufe8e\ufee7\ufef2 \ufefb",
    "de": "Fußgelenk, STRASSE",
    "el": "ΚΑΡΚΙΝΟΣ",
    "tr": "İDRAR yolu",
}
CASES = {
    "\u00b5IU": {"micro-sign", "greek-mu"},
    "\u03bcIU": {"micro-sign", "greek-mu"},
    "\u039cIU": {"micro-sign", "greek-mu"},
    "M\u00e9ni\u00e8re": {"composed", "decomposed"},
    "me\u0301nie\u0300re": {"composed", "decomposed"},
    "findings": {"ligature"},
    "\ufb01ndings": {"ligature"},
    "hypertension": {"soft-hyphen"},
    "hypo\u2060kalemia": {"soft-hyphen"},
    "ct": {"full-width"},
    "65": {"full-width", "zh", "ar"},
    "肺炎": {"zh"},
    "咳嗽": {"zh", "ja"},
    "癌": set(),
    "炎": {"zh"},
    "バリウム": {"ja"},
    "암": {"ko"},
    "폐렴": {"ko-jamo"},
    "ไข้": {"th"},
    "ไอ": {"th"},
    "बुखार": {"hi"},
    "खांसी": {"hi"},
    "खा": set(),
    "حُمَّى": {"ar"},
    "يعاني": {"ar", "ar-forms"},
    "fussgelenk": {"de"},
    "straße": {"de"},
    "καρκινος": {"el"},
    "idrar": {"tr"},
}


PLAIN = ("--normalization", "none")


def build(folder: Path, *options: str) -> Path:
    """An index of the notes."""
    notes = [{"_id": name, "text": text} for name, text in NOTES.items()]
    arguments = ("index", "build", "-", "--into", folder, "--stopwords", "none", *options)
    run_successfully(*arguments, stdin=rows(*notes))
    return folder


def find_ids(index: Path, words: str) -> set[str]:
    hits = run_successfully("search", words, "--index", index, "-k", "50", "--json").json["hits"]
    return {hit["patient_id"] for hit in hits}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("characters") / "index", "--stemmer", "none")


@pytest.mark.parametrize("words", CASES)
def test_words_are_found_in_any_spelling(words: str, index: Path) -> None:
    assert find_ids(index, words) == CASES[words]


@pytest.mark.parametrize("name", NOTES)
def test_marked_matches_are_those_of_the_note_as_given(name: str, index: Path) -> None:
    hits = run_successfully("search", NOTES[name], "--index", index, "-k", "50", "--json").json
    (hit,) = [hit for hit in hits["hits"] if hit["patient_id"] == name]
    assert hit["text"] == NOTES[name]
    for passage in hit["passages"]:
        assert passage["text"] in NOTES[name]
        for start, end in passage["matches"]:
            assert find_ids(index, passage["text"][start:end]) >= {name}


def test_a_word_of_a_note_is_marked_in_its_own_spelling(index: Path) -> None:
    hits = run_successfully("search", "hypokalemia", "--index", index, "--json").json["hits"]
    (passage,) = hits[0]["passages"]
    ((start, end),) = passage["matches"]
    assert passage["text"][start:end] == "hypo\u200bkalemia"


def test_without_normalization_words_are_those_as_written(tmp_path: Path) -> None:
    plain = build(tmp_path / "plain", "--stemmer", "none", *PLAIN)
    assert find_ids(plain, "\u00b5IU") == {"micro-sign"}
    assert find_ids(plain, "\u03bcIU") == {"greek-mu"}
    assert find_ids(plain, "findings") == set()
    facts = run_successfully("index", "info", "--index", plain, "--json").json
    assert facts["normalization"] == "none"


def test_deleting_and_adding_keeps_the_counts_of_all_words(tmp_path: Path) -> None:
    index = build(tmp_path / "index", "--stemmer", "none")
    run_successfully("index", "delete", "zh", "ligature", "--index", index)
    assert find_ids(index, "咳嗽") == {"ja"}
    assert find_ids(index, "炎") == find_ids(index, "findings") == set()
    note = {"_id": "new", "text": "肺炎 \ufb01ndings"}
    run_successfully("index", "add", "-", "--index", index, stdin=rows(note))
    assert find_ids(index, "炎") == find_ids(index, "findings") == {"new"}


def test_an_unknown_normalization_is_refused(tmp_path: Path) -> None:
    outcome = patientdx(
        "index", "build", "-", "--into", tmp_path / "i", "--normalization", "nfd", stdin=rows()
    )
    assert outcome.code == 1
    assert "unknown normalization `nfd`" in outcome.err
