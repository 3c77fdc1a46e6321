"""What notes assert. Words with a label are written in capitals, the label is that of the case."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.assertions import LABELS, Label, find_assertions, split_words

LITTLE = {"and", "or", "the", "of", "his", "her", "at", "in", "a", "you", "have", "with", "years"}
CASES: list[tuple[Label, str]] = [
    ("negated", "FEVER: no\nCough: yes\nRASH: none\nPAIN: negative"),
    ("negated", "FEVER: no, cough: yes"),
    ("negated", "Allergies: no KNOWN ALLERGIES\nPain: severe"),
    ("negated", "ROS: (-) FEVER, (+) cough"),
    ("negated", "denies CHILLS, +dyspnea"),
    ("negated", "1. No FEVER\n2. Cough\n3. Rash"),
    ("negated", "no FEVER\nCough: dry"),
    ("family", "Her mother had BREAST CANCER. She has dyspnea."),
    ("family", "His father died of STROKE; he has gout"),
    ("family", "Family history of GOUT. No rash."),
    ("family", "Mother: DIABETES"),
    ("family", "BREAST CANCER in a maternal aunt; rash"),
    ("family", "LUPUS in her sister"),
    ("family", "A mother was diagnosed with DIABETES; the infant was jaundiced"),
    ("family", "Family History:\nMother: DIABETES\nFather: GOUT, STROKE\n\nPhysical Exam:\nrash"),
    ("family", "FH: GOUT\nAllergies: penicillin"),
    ("family", "According to his mother he had seizures."),
    ("family", "His mother noticed a rash. Her parents reported fever."),
    ("family", "He lives with his brother, who has asthma."),
    ("family", "A 34-year-old mother of two with jaundice."),
    ("historical", "with a history of ASTHMA presented with fever"),
    ("historical", "h/o STROKE, s/p CABG. Now edema."),
    ("historical", "status post APPENDECTOMY"),
    ("historical", "previous MYOCARDIAL INFARCTION. Chest pain"),
    ("historical", "he had PNEUMONIA years ago"),
    ("historical", "Past Medical History:\n- DIABETES\n- GOUT\n\nMedications:\naspirin"),
    ("historical", "PMH: GOUT\nPlan:\naspirin"),
    ("historical", "a two week history of cough"),
    ("historical", "History of present illness: cough"),
    ("historical", "there is edema compared to prior films"),
    ("historical", "a 3-year-old boy, previously healthy, with cough"),
    ("hypothetical", "Call if you have FEVER or VOMITING. Cough."),
    ("hypothetical", "risk of BLEEDING, but anaemia now"),
    ("hypothetical", "he was asked if pain was present"),
]


@pytest.mark.parametrize(("label", "text"), CASES)
def test_labels_of_words(label: Label, text: str) -> None:
    # Abbreviations that are no findings stay as they are.
    lowered = re.sub(r"\b(?!(?:FH|PMH|ROS)\b)[A-Z]{3,}\b", lambda match: match[0].lower(), text)
    assertions = find_assertions(lowered)
    labelled = {
        word.text.lower()
        for word, labels in zip(split_words(lowered), assertions.labels, strict=True)
        if label in labels and not word.text.isdigit()
    }
    capitals = {word.lower() for word in re.findall(r"\b[A-Z]{3,}\b", text)} - {"pmh", "ros"}
    labels_of_family = {"mother", "father", "physical", "exam"}
    assert labelled - LITTLE - labels_of_family == capitals


def test_a_mention_may_have_several_labels() -> None:
    text = "No family history of gout. No history of stroke."
    assertions = find_assertions(text)
    assert assertions.at(text.index("gout")) == ("negated", "family")
    assert assertions.at(text.index("stroke")) == ("negated", "historical")
    assert not assertions.is_affirmed([text.index("gout"), text.index("stroke")])


def test_places_within_words_and_before_them() -> None:
    assertions = find_assertions("  no fever")
    assert assertions.at(0) == ()
    assert assertions.at(7) == ("negated",)
    assert find_assertions("").at(3) == ()


PIECES = ["no", "fever", "mother", "had", "history of", ":", "\n", ".", "(-)", "Family History:"]


@given(st.lists(st.sampled_from(PIECES)))
def test_all_words_have_labels_in_their_order(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assertions = find_assertions(text)
    assert len(assertions.labels) == len(assertions.starts) == len(split_words(text))
    assert list(assertions.starts) == sorted(assertions.starts)
    for labels in assertions.labels:
        assert list(labels) == [label for label in LABELS if label in labels]


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    starts = find_assertions(text).starts
    words = split_words(text)
    assert [text[s : s + len(w.text)] for w, s in zip(words, starts, strict=True)] == [
        word.text for word in words
    ]
