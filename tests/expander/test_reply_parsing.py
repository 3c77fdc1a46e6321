"""Parsing what small models write as keywords and as passages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander.reply_parsing.keyword_list import MAX_KEYWORDS, parse_keywords
from expander.reply_parsing.passage import MAX_REPEATS, count_passage_words

FIRST_SENTENCE = "A 63-year-old woman had crushing chest pain after a funeral."
PROMPT = (
    "You are an efficient information retrieval assistant. What are the most relevant missing "
    "keywords (through synonyms or logical reasoning) that should be added to the following "
    "patient profile to help identify similar patients? Patient: A 63-year-old woman had crushing "
    "chest pain after a funeral. Coronary arteries were without obstruction.. Keywords: "
)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("takotsubo, stress cardiomyopathy", ["takotsubo", "stress cardiomyopathy"]),
        ("1. Dyspnea\n2. Edema\n3) Fatigue", ["Dyspnea", "Edema", "Fatigue"]),
        ("1. Dyspnea 2. Edema 3. Leg swelling", ["Dyspnea", "Edema", "Leg swelling"]),
        ("1.Dyspnea\n2.Edema", ["Dyspnea", "Edema"]),
        ("- Dyspnea\n* Edema\n• Fatigue\n+ Cough", ["Dyspnea", "Edema", "Fatigue", "Cough"]),
        ("**Keywords:** dyspnea; edema", ["dyspnea", "edema"]),
        ("Keywords: dyspnea, edema.", ["dyspnea", "edema"]),
        ("## Synonyms\n\n- **Dyspnea**: breathlessness", ["Dyspnea", "breathlessness"]),
        (
            "| term | gloss |\n|---|---|\n| angina | chest pain |",
            ["gloss", "angina", "chest pain"],
        ),
        ("Sure! Here are the keywords that I would add:\n\n1. angina", ["angina"]),
        ('["angina", "heart failure"]', ["angina", "heart failure"]),
        ('```json\n["angina", "heart failure"]\n```', ["angina", "heart failure"]),
        ('{"keywords": ["angina", "edema"], "n": 2}', ["angina", "edema"]),
        ('Keywords: ["angina", "heart fai', ["angina"]),
        ('{"keywords": ["angina", "ede', ["angina"]),
        ("angina (chest pain on exertion)", ["angina", "chest pain on exertion"]),
        ("heart_failure, st-elevation", ["heart failure", "st-elevation"]),
        ("pain pain pain pain", ["pain"]),
        ("chest pain, chest pain, chest pain, cough", ["chest pain", "cough"]),
        ("chest pain, back pain, pain", ["chest pain", "back"]),
        ("the edema of the legs, and cough", ["edema of the legs", "cough"]),
        ("呼吸困难, œdème, дыхание", ["呼吸困难", "œdème", "дыхание"]),
        ("<|im_start|>assistant\nangina<|im_end|>", ["angina"]),
        ("<think>She may have angina.</think>takotsubo", ["takotsubo"]),
        ("<think>She may have", []),
        ("angina\n\nPatient: A 45-year-old man with gout. Keywords: tophi", ["angina"]),
        ("angina\nQuestion: what is it?", ["angina"]),
        ("", []),
        (" \n\t", []),
        ("None", []),
        ("N/A.", []),
        ("...---***", []),
        ("I'm sorry, I can't help with that.", []),
        ("As an AI language model, I do not diagnose.", []),
        ("x" * 500, []),
    ],
)
def test_lists_of_all_kinds(reply: str, expected: list[str]) -> None:
    assert parse_keywords(reply) == expected


def test_prose_yields_its_informative_words_once_each() -> None:
    reply = "The patient has a history of diabetes and may have developed diabetes of the heart."
    assert parse_keywords(reply) == ["patient", "history", "diabetes", "developed", "heart"]
    assert parse_keywords("12, 3.5, stage 3") == ["stage 3"]


@pytest.mark.parametrize(
    "reply",
    [
        PROMPT + "takotsubo, broken heart",
        f"Patient: {FIRST_SENTENCE}\ntakotsubo, broken heart",
        f"{FIRST_SENTENCE.upper()}\nKeywords: takotsubo, broken heart",
        PROMPT[:150] + "\n" + PROMPT + "\n1. takotsubo\n2. broken heart",
    ],
)
def test_a_repeated_prompt_is_not_an_answer(reply: str) -> None:
    assert parse_keywords(reply, PROMPT)[-2:] == ["takotsubo", "broken heart"]
    assert not {"funeral", "crushing", "efficient"} & {
        w.lower() for w in parse_keywords(reply, PROMPT)
    }


# Written by SmolLM2-135M-Instruct (Q4_1, greedy, 200 new tokens) to the prompt of `keywords`;
# here shortened.
CAPTURED = [
    (
        "The most relevant missing keywords to identify similar patients would be:\n\n"
        "1. Dental Medicine\n2. Dental Science\n3. Dental Medicine\n4. Dental Science\n"
        + "".join(f"{number}. Dental Medicine\n" for number in range(5, 33))
        + "33. Dental",
        ["Dental Medicine", "Science"],
    ),
    (
        "To help identify similar patients, I would suggest adding the following keywords to the "
        'patient profile:\n\n- "Erythromorph"\n' + '- "Erythromorphism"\n' * 17 + "-",
        ["Erythromorph", "Erythromorphism"],
    ),
    (
        "The most relevant missing keywords for this patient profile are:\n\n"
        '- "monterosclerosis"\n' + '- "monstro"\n' * 17 + '- "mon',
        ["monterosclerosis", "monstro"],
    ),
    (
        "The most relevant missing keywords to add to the patient profile to help identify similar "
        "patients would be:\n\n" + '- "Patient: A 48-year-old male"\n' * 12,
        ["48-year-old male"],
    ),
    (
        "- Factory farming practices\n- Agriculture\n- Food\n- Agriculture practices",
        ["Factory farming practices", "Agriculture", "Food"],
    ),
    ("1. 1.1.1.1: 1.1.1.1.2: 1.1.1.1.3: 1.1.1.1.4: 1.1.1.1.10: 1.1.1.1.11: 1.1", []),
]


@pytest.mark.parametrize(("reply", "expected"), CAPTURED)
def test_keywords_of_replies_by_smollm2(reply: str, expected: list[str]) -> None:
    assert parse_keywords(reply, PROMPT) == expected


def test_a_passage_in_which_smollm2_looped() -> None:
    reply = "Mild global delay, mild global delay, " + "severe heart disease, " * 40 + "sev"
    counts = count_passage_words(reply)
    assert counts == {
        **dict.fromkeys(["Mild", "global", "delay"], 2),
        "severe": 3,
        "heart": 3,
        "disease": 3,
        "sev": 1,
    }


def test_words_of_the_note_can_be_excluded() -> None:
    assert parse_keywords("chest pain, back pain, cough", known_text="Pain in the Chest.") == [
        "back",
        "cough",
    ]


# Written after what such models are like: they list, lose the thread, loop, are cut off.
SMOL_LIST = """Based on the patient profile, here are some potential missing keywords:

1. **Stress-Induced Cardiomyopathy**: This condition is
caused by acute emotional stress.
2. **Takotsubo Syndrome**: apical ballooning
3. **Takotsubo Syndrome**: apical ballooning
4. **Takotsubo Syndrome**: apical balloo"""
SMOL_LOOP = "The patient's symptoms are consistent with a heart attack. " * 12 + "The patient's sym"


def test_a_list_that_loops_and_is_cut_off() -> None:
    keywords = parse_keywords(SMOL_LIST, PROMPT)
    assert keywords[0] == "Stress-Induced Cardiomyopathy"
    assert {"Takotsubo Syndrome", "apical ballooning"} <= set(keywords)
    assert sum("Takotsubo" in keyword for keyword in keywords) == 1


def test_a_sentence_that_loops_counts_once() -> None:
    assert parse_keywords(SMOL_LOOP)[:4] == ["patient's", "symptoms", "consistent", "heart"]
    counts = count_passage_words(SMOL_LOOP)
    assert counts["heart"] == counts["attack"] == 1
    assert counts["patient's"] == 2  # the cut sentence is another one


def test_a_passage_is_counted_up_to_a_few_repeats() -> None:
    counts = count_passage_words(
        "Passage: Fever and fever, fever; FEVER fever. Cough!\n\nThe end of it."
    )
    assert counts["Fever"] == MAX_REPEATS
    assert counts["Cough"] == 1
    assert "Passage" not in counts


def test_a_passage_has_a_limit_and_no_echo() -> None:
    reply = "A 63-year-old woman had crushing chest pain after a funeral. Takotsubo was found."
    assert count_passage_words(reply, PROMPT) == {"Takotsubo": 1, "was": 1, "found": 1}
    assert sum(count_passage_words("one two three four", limit=3).values()) == 3


PIECES = [
    *("1. ", "- ", "* ", "\n", "\n\n", ", ", "; ", ". ", ": ", "Keywords: ", "Patient: ", '"', "["),
    *("]", "{", "}", "```json\n", "**", "<think>", "</think>", "<|im_end|>", "(", ")", "|", " - "),
    *("chest pain", "the", "of", "ß", "İ", "\u0130\u0307", "日本", "\ud800", "e\u0301", "\\", "'"),
]
replies = st.one_of(
    st.text(max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    st.lists(st.text(max_size=20), max_size=20).map(json.dumps),
)


@given(replies, replies, st.integers(1, 70))
def test_keywords_of_any_reply_are_bounded(reply: str, prompt: str, limit: int) -> None:
    keywords = parse_keywords(reply, prompt, limit)
    assert keywords == parse_keywords(reply, prompt, limit)
    assert len(keywords) <= limit
    assert len({keyword.casefold() for keyword in keywords}) == len(keywords)
    for keyword in keywords:
        assert keyword.strip() == keyword != ""
        assert len(keyword) <= len(reply)


@given(replies, replies)
def test_the_passage_of_any_reply_is_bounded(reply: str, prompt: str) -> None:
    counts = count_passage_words(reply, prompt)
    assert counts == count_passage_words(reply, prompt)
    assert all(len(word) <= len(reply) and 1 <= n <= MAX_REPEATS for word, n in counts.items())


@pytest.mark.parametrize(
    "reply",
    ["[" * 100_000, '{"a":' * 50_000, "a" * 100_000, "-" * 100_000, '"' * 50_000, "(1) " * 9_000],
)
def test_pathological_replies_are_parsed_quickly(reply: str) -> None:
    assert len(parse_keywords(reply, "-" * 10_000)) <= MAX_KEYWORDS
    assert isinstance(count_passage_words(reply), dict)
