"""Folding characters: equivalence, independence of pieces, and time linear in the text."""

from itertools import groupby
from typing import Literal
from unicodedata import category, normalize

import pytest
from corpora import EXAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unicode_words import is_hidden, is_mark, normalized

from patientdx.characters import (
    MAX_MARKS,
    compose,
    fold,
    folded_pieces,
    folded_words,
    word_pattern,
)

CANONICAL: tuple[Literal["NFC"], Literal["NFD"]] = ("NFC", "NFD")
tricky = st.text(
    st.sampled_from(
        "aIiİı \u0307\u0323\u0345\u0301\u00ad\u200b\u00b5ﬁß½™°ΣςＡ５٣"
        "ｶﾞ가\u1100\u1161\u11a8ㄱㅏ㉮ก้ำ中"
        "ﷺﹰक़\u093c\ud800𝔸\U0001d165\u20dd\u0f71\u0f72"
    )
)
texts = st.one_of(st.text(st.characters(exclude_categories=["Cn"])), tricky)


@settings(max_examples=EXAMPLES)
@given(text=texts)
def test_folding_is_its_definition(text: str) -> None:
    assert fold(text) == normalized(text)


@settings(max_examples=EXAMPLES)
@given(text=texts, form=st.sampled_from(CANONICAL))
def test_canonical_equivalents_fold_alike(text: str, form: Literal["NFC", "NFD"]) -> None:
    same = normalize(form, text)
    assert fold(same) == fold(text)
    assert normalize("NFKC", compose(same)) == compose(text)


@settings(max_examples=EXAMPLES)
@given(text=texts)
@example("\u1100\u1161\u11a8 ㄱㅏ가\u11a8")
def test_pieces_fold_alone_as_in_their_text(text: str) -> None:
    pieces = list(folded_pieces(text))
    assert "".join(folded for _, _, folded in pieces) == fold(text)
    ends = [end for _, end, _ in pieces]
    starts = [start for start, _, _ in pieces]
    assert starts == sorted(set(starts))
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    gaps = zip([0, *ends], [*starts, len(text)], strict=True)
    assert all(is_hidden(character) for a, b in gaps for character in text[a:b])


@pytest.mark.parametrize("block", [range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x20000)])
def test_every_character_folds_as_defined(block: range) -> None:
    characters = [chr(code) for code in block if category(chr(code)) != "Cn"]
    assert [fold(c) for c in characters] == [normalized(c) for c in characters]
    assert [fold(fold(c)) for c in characters] == [fold(c) for c in characters]


@given(text=texts)
def test_raw_words_hold_their_marks(text: str) -> None:
    for match in word_pattern().finditer(text):
        word, after = match.group(), text[match.end() : match.end() + 1]
        assert word[0].isalnum() or word[0] == "_"
        assert not after or not (after.isalnum() or after == "_" or is_mark(after))


@pytest.mark.parametrize(
    "flood",
    ["\u0301", "\u0315\u0301", "\u0345\u0301\u0323", "\u200d", "\u0301\u200b", "a\u0315\u0301"],
)
def test_a_flood_of_marks_is_cut_before_it_is_put_in_order(flood: str) -> None:
    # Canonical ordering is quadratic in a run of marks: without the limit this takes hours.
    text = "a" + flood * (1_000_000 // len(flood))
    (word,) = [word for _, _, word in folded_words(fold(text))]
    runs = [len(list(run)) for marked, run in groupby(word, is_mark) if marked]
    assert max(runs, default=0) <= 3 * MAX_MARKS
    assert "".join(folded for _, _, folded in folded_pieces(text)) == word
