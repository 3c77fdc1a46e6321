"""Prompts that are cut: what is left fits, is as much as fits, and never lacks the question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patientdx.errors import ModelError
from patientdx.models.prompts import GAP, as_prompt, encode_pair, encode_text, fit_prompt
from patientdx.protocols import Prompt

texts = st.text(alphabet="abc é\n", max_size=60)


def words(text: str) -> int:
    return len(text.split())


def characters(text: str) -> int:
    return len(text)


@given(before=texts, note=texts, after=texts, room=st.integers(0, 120))
def test_what_is_left_fits_and_keeps_the_question(
    before: str, note: str, after: str, room: int
) -> None:
    prompt = Prompt(before, note, after)
    if len(prompt.text) <= room:
        assert fit_prompt(prompt, room, characters) == (prompt.text, False)
    elif len(before + GAP + after) > room:
        with pytest.raises(ModelError, match="question alone"):
            fit_prompt(prompt, room, characters)
    else:
        text, cut = fit_prompt(prompt, room, characters)
        assert cut
        assert len(text) <= room
        assert text.startswith(before)
        assert text.endswith(after)
        head, gap, tail = text[len(before) : len(text) - len(after) or None].partition(GAP)
        assert gap
        assert note.startswith(head)
        assert note.endswith(tail)


@pytest.mark.parametrize("room", range(6, 24))
def test_as_many_words_are_kept_as_fit(room: int) -> None:
    note = " ".join(f"w{i}" for i in range(30))
    text, cut = fit_prompt(Prompt("Find the words: ", note, " Answer:"), room, words)
    assert cut
    assert words(text) == room
    kept = [int(word[1:]) for word in text.split() if word[1:].isdigit()]
    half = (len(kept) + 1) // 2
    assert kept == [*range(half), *range(30 - len(kept) + half, 30)]


def test_a_note_without_spaces_is_cut_too() -> None:
    text, cut = fit_prompt(Prompt("", "x" * 1000, "?"), 100, characters)
    assert cut
    assert 80 < len(text) <= 100
    assert text.endswith("?")


def test_of_a_plain_string_every_part_may_be_cut() -> None:
    assert as_prompt("a note") == Prompt(note="a note")
    text, cut = fit_prompt("one two three four five six", 4, words)
    assert (text, cut) == ("one two" + GAP + " six", True)


def test_a_long_note_costs_few_counts() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return words(text)

    fit_prompt("word " * 10_000, 100, count)
    assert len(counted) < 20


def test_the_error_holds_nothing_of_the_prompt() -> None:
    with pytest.raises(ModelError) as raised:
        fit_prompt(Prompt("Zaphodine asks", "gout", "why"), 1, words)
    assert "Zaphodine" not in f"{raised.value} {raised.value.hint}"


def pairs_of_letters(text: str) -> list[int]:
    """A tokenizer whose tokens are two characters: most borders are straddled."""
    return [hash(text[at : at + 2]) for at in range(0, len(text), 2)]


def test_a_continuation_is_tokenised_with_its_prompt_where_that_keeps_the_prompt_s_tokens() -> None:
    assert encode_pair("ab", "cd", pairs_of_letters, pairs_of_letters) == (
        pairs_of_letters("ab"),
        pairs_of_letters("cd"),
    )
    before, after = encode_pair("abc", "def", pairs_of_letters, pairs_of_letters)
    assert before == pairs_of_letters("abc")
    assert after == pairs_of_letters("def")


def test_a_text_follows_one_beginning() -> None:
    assert encode_text("x", lambda _: [5, 6], 1) == ([1], [5, 6])
    assert encode_text("x", lambda _: [1, 5, 6], 1) == ([1], [5, 6])
    assert encode_text("", lambda _: [], 1) == ([1], [])


SECTIONS = st.lists(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=30), min_size=1,
                    max_size=5)  # fmt: skip


@given(SECTIONS, st.integers(8, 60))
def test_sections_lose_their_own_middle(words: list[list[str]], room: int) -> None:
    sections = tuple("".join(f"{word} " for word in section) for section in words)
    prompt = Prompt("Q: ", "".join(sections), "?", sections)
    text, cut = fit_prompt(prompt, room, lambda text: len(text.split()))
    assert cut == (len(prompt.text.split()) > room)
    if not cut:
        assert text == prompt.text
        return
    assert len(text.split()) <= room
    kept = text[3:-1]
    filled = [section for section in sections if section]
    shortest = min(filled, key=len)
    if len(shortest.split()) * len(filled) < room - 8 - len(sections):
        assert shortest in kept  # short sections stay whole
    for section in sections:  # each begins as it began, or is gone
        assert section == "" or section.split()[0] in kept or GAP in kept
