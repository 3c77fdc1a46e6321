"""Text for a terminal: control characters, emphasis and wrapping."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import terminal
from console.terminal import bold, escaped_json, highlight, rendered, without_controls, wrap

ATTACKS = (
    "\033[2J\033[H",  # clears the screen
    "\033]0;title\a",  # renames the window
    "\x9b31m",  # CSI as one C1 character
    "\x90q\x9c",  # DCS
    "\u202egnirts\u202c",  # right-to-left override
    "\u2066isolate\u2069",
    "a\rb",
    "a\bb",
    "\x7f",
)
_ALLOWED = {"\n", "\t"}
_DIRECTION = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def is_unsafe(character: str) -> bool:
    """By Unicode's own tables, not by ours."""
    is_control = unicodedata.category(character) == "Cc" and character not in _ALLOWED
    return is_control or unicodedata.bidirectional(character) in _DIRECTION


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_escape_sequence_is_left(attack: str) -> None:
    cleaned = without_controls(f"before {attack} after")
    assert not any(map(is_unsafe, cleaned))
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert len(cleaned) == len(f"before {attack} after")


@given(st.text())
def test_only_control_characters_change(text: str) -> None:
    cleaned = without_controls(text)
    assert not any(map(is_unsafe, cleaned))
    assert all(a == b for a, b in zip(text, cleaned, strict=True) if not is_unsafe(a))


@given(st.text())
def test_json_says_the_same_in_safe_characters(text: str) -> None:
    document = escaped_json(json.dumps({"note": text}, ensure_ascii=False))
    assert not any(map(is_unsafe, document))
    assert json.loads(document) == {"note": text}


def test_bold_is_plain_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    line = highlight("a fever\nof  weeks", ((2, 7),))
    assert rendered(line) == "a fever of weeks"
    monkeypatch.setattr(terminal, "use_colour", lambda: True)
    assert rendered(line) == "a \033[1mfever\033[0m of weeks"
    assert rendered(bold("x\ufdd0\033[0m")) == "\033[1mx\ufffd␛[0m\033[0m"
    assert rendered(highlight("ab\ufdd1cd", ((0, 2),))) == "\033[1mab\033[0m\ufffdcd"


def test_spans_that_overlap_are_one() -> None:
    assert highlight("肺炎症", ((0, 2), (1, 3))) == bold("肺炎症")
    assert highlight("ab cd", ((0, 2), (3, 5))) == f"{bold('ab')} {bold('cd')}"


def test_lines_break_at_blanks_under_their_indent() -> None:
    text = "lupus nephritis in a woman of thirty with a malar rash"
    lines = list(wrap(text, "     ", 30))
    assert lines == [
        "     lupus nephritis in a",
        "     woman of thirty with a",
        "     malar rash",
    ]
    assert list(wrap(text, "  ", None)) == [f"  {text}"]


def test_emphasis_takes_no_room() -> None:
    text = highlight("fever " * 8, [(6 * i, 6 * i + 5) for i in range(8)])
    assert [rendered(line) for line in wrap(text, " ", 24)] == [
        " fever fever fever fever",
        " fever fever fever fever",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert list(wrap("肺" * 25, "", 21)) == ["肺" * 10, "肺" * 10, "肺" * 5]


@given(st.text("ab肺 ", max_size=200), st.integers(20, 60))
def test_wrapping_keeps_every_word(text: str, width: int) -> None:
    lines = list(wrap(" ".join(text.split()), "  ", width))
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert sum(2 if c == "肺" else 1 for c in line) <= max(width, 22)
