r"""Compiled tokenising: UTF-8 bytes to word ids.

A word is a maximal run of characters for which `\w` holds (letters, digits, marks that Python
counts as alphanumeric, underscore). Words are found by an open-addressing hash table that
stores the bytes of each word once, so equal hashes never merge different words.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")
_WIDE = 0x10000  # stands for every character beyond the basic plane inside a kept word


@cache
def word_characters() -> NDArray[np.uint8]:
    """1 for each character of the basic plane that belongs to words.

    Characters beyond it are 1 too: such notes arrive with their words already found.
    """
    table = np.ones(_WIDE + 1, dtype=np.uint8)
    for code in range(_WIDE):
        character = chr(code)
        table[code] = character.isalnum() or character == "_"
    return table


@_jit
def split_words(
    data: Any,
    ends: Any,
    starts: Any,
    is_word: Any,
    table: Any,
    hashes: Any,
    offsets: Any,
    arena: Any,
    words: Any,
    state: Any,
) -> Any:
    """Word ids of `data` from state[0] on; stops (to be called again) when a table is full.

    state: [position, words so far, distinct words, bytes of the arena used, note]. Note n ends
    before byte ends[n], where no word goes on; its words begin at starts[n]. The table has two
    slots for each word that fits. Returns True when all of `data` has been read.
    """
    mask = np.uint64(table.shape[0] - 1)
    position, found, distinct, used = state[0], state[1], state[2], state[3]
    note = state[4]
    size = data.shape[0]
    done = True
    while position < size:
        while position >= ends[note]:
            note += 1
            starts[note] = found
        start = position
        value = np.uint64(0xCBF29CE484222325)
        at = position
        while at < size:
            byte = data[at]
            if byte < 0x80:
                code, step = np.int64(byte), 1
            elif byte < 0xE0:
                code, step = ((np.int64(byte) & 31) << 6) | (np.int64(data[at + 1]) & 63), 2
            elif byte < 0xF0:
                code = (np.int64(byte) & 15) << 12
                code |= (np.int64(data[at + 1]) & 63) << 6
                code |= np.int64(data[at + 2]) & 63
                step = 3
            else:
                code, step = np.int64(0x10000), 4
            if is_word[code] == 0:
                break
            for i in range(step):
                value = (value ^ np.uint64(data[at + i])) * np.uint64(0x100000001B3)
            at += step
        if at == start:
            position += step
            continue
        length = at - start
        if distinct == hashes.shape[0] or used + length > arena.shape[0]:
            done = False
            break
        value ^= value >> np.uint64(29)
        slot = value & mask
        while True:
            entry = table[slot]
            if entry == 0:
                for i in range(length):
                    arena[used + i] = data[start + i]
                used += length
                hashes[distinct] = value
                distinct += 1
                offsets[distinct] = used
                table[slot] = distinct
                entry = distinct
                break
            word = entry - 1
            if hashes[word] == value and offsets[word + 1] - offsets[word] == length:
                same = True
                first = offsets[word]
                for i in range(length):
                    if arena[first + i] != data[start + i]:
                        same = False
                        break
                if same:
                    break
            slot = (slot + np.uint64(1)) & mask
        words[found] = entry - 1
        found += 1
        position = at
    if done:
        starts[note + 1 :] = found
    state[0], state[1], state[2], state[3] = position, found, distinct, used
    state[4] = note
    return done


@_jit
def rehash(table: Any, hashes: Any, distinct: Any) -> None:
    """Fills an empty `table` with the words known so far."""
    mask = np.uint64(table.shape[0] - 1)
    for word in range(distinct):
        slot = hashes[word] & mask
        while table[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = word + 1


@_jit
def count_terms(words: Any, starts: Any, term_of_word: Any, terms: Any) -> Any:
    """Distinct terms of each note with their frequencies, in order of first appearance."""
    notes = starts.shape[0] - 1
    out_terms = np.empty(words.shape[0], dtype=np.uint32)
    out_tfs = np.empty(words.shape[0], dtype=np.uint32)
    bounds = np.zeros(notes + 1, dtype=np.int64)
    lengths = np.zeros(notes, dtype=np.uint32)
    place = np.full(terms, -1, dtype=np.int64)
    size = 0
    for note in range(notes):
        first = size
        for i in range(starts[note], starts[note + 1]):
            term = term_of_word[words[i]]
            if term < 0:
                continue
            lengths[note] += np.uint32(1)
            at = place[term]
            if at >= first:
                out_tfs[at] += np.uint32(1)
            else:
                place[term] = size
                out_terms[size] = term
                out_tfs[size] = 1
                size += 1
        bounds[note + 1] = size
    return out_terms[:size].copy(), out_tfs[:size].copy(), bounds, lengths


class WordTable:
    """The distinct words met so far, numbered in order of first appearance."""

    def __init__(self) -> None:
        self._table = np.zeros(1 << 17, dtype=np.int64)
        self._hashes = np.empty(1 << 16, dtype=np.uint64)
        self._offsets = np.zeros((1 << 16) + 1, dtype=np.int64)
        self._arena = np.empty(1 << 20, dtype=np.uint8)
        self._state = np.zeros(5, dtype=np.int64)

    def split(self, notes: Sequence[bytes]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Word ids of all notes, one after another, and where each note begins in them."""
        ends = np.cumsum([len(note) + 1 for note in notes])
        data = np.frombuffer(b"\n".join([*notes, b""]), dtype=np.uint8)
        words = np.empty(len(data) // 2 + 1, dtype=np.uint32)
        starts = np.zeros(len(notes) + 1, dtype=np.int64)
        self._state[0] = self._state[1] = self._state[4] = 0
        while not split_words(
            data,
            ends,
            starts,
            word_characters(),
            self._table,
            self._hashes,
            self._offsets,
            self._arena,
            words,
            self._state,
        ):
            self._grow()
        return words[: self._state[1]], starts

    def words(self, first: int) -> list[str]:
        """The words numbered from `first` on."""
        offsets = self._offsets[first : self._state[2] + 1]
        raw = self._arena[: self._state[3]].tobytes()
        return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets.tolist())]

    def _grow(self) -> None:
        """Doubles everything; called when a table is full, which is seldom."""
        distinct = int(self._state[2])
        self._hashes = np.resize(self._hashes, 2 * len(self._hashes))
        self._offsets = np.resize(self._offsets, len(self._hashes) + 1)
        self._arena = np.resize(self._arena, 2 * len(self._arena))
        self._table = np.zeros(2 * len(self._hashes), dtype=np.int64)
        rehash(self._table, self._hashes, distinct)
