"""Compiled kernels for the dense terms: their share of the scores, in float32."""

from typing import Any

import numba as nb
import numpy as np

_jit = nb.njit(cache=True, nogil=True, error_model="numpy")


@nb.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def share_by_row(dense_rows: Any, weights: Any, norm32: Any, out: Any) -> None:
    """The dense share of a query with many dense terms, for all notes, in float32.

    `weights` has an entry for every column, zero where the query lacks the term. The sums may
    be taken in any order, which is what lets them fill vectors; the error bound covers it.
    """
    for note in range(dense_rows.shape[0]):
        norm = norm32[note]
        share = np.float32(0.0)
        for c in range(dense_rows.shape[1]):
            tf = np.float32(dense_rows[note, c])
            share += weights[c] * (tf / (tf + norm))
        out[note] = share


@_jit
def share_by_column(
    dense_tfs: Any, columns: Any, weights: Any, norm32: Any, first: Any, out: Any
) -> None:
    """The same for a query with few dense terms, for the blocks from `first` on, added to `out`.

    `weights` are those of `columns`.
    """
    size = dense_tfs.shape[2]
    for b in range(out.shape[0] // size):
        start = (first + b) * size
        norm = norm32[start : start + size]
        share = out[b * size : (b + 1) * size]
        for c in range(columns.shape[0]):
            column = dense_tfs[first + b, columns[c]]
            weight = weights[c]
            for i in range(size):
                tf = np.float32(column[i])
                share[i] += weight * (tf / (tf + norm[i]))


@_jit
def dense_impacts(dense_rows: Any, norm32: Any, first: Any, out: Any) -> None:
    """Impacts of all dense terms for the notes from `first` on, shape (notes, columns)."""
    for i in range(min(out.shape[0], dense_rows.shape[0] - first)):
        norm = norm32[first + i]
        for c in range(dense_rows.shape[1]):
            tf = np.float32(dense_rows[first + i, c])
            out[i, c] = tf / (tf + norm)


@_jit
def fill_rows(columns: Any, rows: Any) -> None:
    """Copies one block of columns, shape (terms, notes), into rows, shape (notes, terms...)."""
    for start in range(0, rows.shape[0], 64):
        for c in range(columns.shape[0]):
            for i in range(start, min(start + 64, rows.shape[0])):
                rows[i, c] = columns[c, i]
