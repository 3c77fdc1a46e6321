"""Which words of a sentence are negated. Negated words are written in capitals here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.assertions import find_negated, split_words

LITTLE = {"and", "or", "the", "that", "she", "have", "a"}


@pytest.mark.parametrize(
    "text_with_capitals",
    [
        "no FEVER",
        "She denies CHEST PAIN and DYSPNEA.",
        "There was no DROOLING, DISTAL MUSCLE WEAKNESS or OVERLAPPING TOE. He had gout",
        "a man without FEVER presented with cough",
        "no FEVER but cough",
        "No RASH; fever",
        "No RASH. Fever and cough",
        "No RASH\n\nFever",
        "no RASH and the EXAMINATION showed jaundice",
        "no evidence of METASTASIS although a mass was seen",
        "negative for ANTIBODIES",
        "the RASH was absent",
        "FEVER and COUGH were not present, but there was a rash",
        "Cough was present and FEVER was absent",
        "MENINGITIS was ruled out",
        "neither FEVER nor CHILLS",
        "She denies that she had FEVER",
        "He did not have FEVER",
        "He didn't have FEVER",
        "never SMOKED",
        "free of PAIN",
        "fever did not improve after aspirin",
        "no change in the rash",
        "not only fever",
        "gram negative sepsis",
        "meningitis could not be excluded",
        "fever at 38.5 and cough",
        "he knows that nobody coughs",
        "noma of the cheek",
        "",
    ],
)
def test_negation_scopes(text_with_capitals: str) -> None:
    words = split_words(text_with_capitals)
    negated = find_negated(split_words(text_with_capitals.lower()))
    # Whether little words are inside a scope does not matter.
    negated_words = {word.text for word, flag in zip(words, negated, strict=True) if flag} - LITTLE
    assert negated_words == {word.text for word in words if word.text.isupper()}


PARTS = ("no", "not", "fever", "was", "absent", "but", ",", ".", ";", "that", "denies", "had")


@given(st.lists(st.sampled_from(PARTS)))
def test_every_word_is_classified_and_sentences_are_independent(parts: list[str]) -> None:
    text = " ".join(parts)
    negated = find_negated(split_words(text))
    assert len(negated) == len(split_words(text))
    after = find_negated(split_words(f"{text} . there is fever"))
    assert after[: len(negated)] == negated
    assert not any(after[len(negated) :])


def test_words_have_the_numbers_of_their_sentence_and_clause() -> None:
    words = split_words("Hb 8.5, low. No rash (or fever)")
    assert [word.text for word in words] == ["Hb", "8", "5", "low", "No", "rash", "or", "fever"]
    assert [word.sentence for word in words] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [word.clause for word in words] == [0, 0, 0, 1, 2, 2, 3, 3]
    assert split_words("") == split_words("...") == []
