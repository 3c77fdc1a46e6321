"""Rank correlations of rows: Spearman's ρ and Kendall's τ-b, with ties."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def spearman(ours: Floats, theirs: Floats) -> Floats:
    """Spearman's ρ of each row, arrays of shape (rows, n): Pearson's correlation of the midranks.

    nan where all values of a row are equal, or one of them is nan.
    """
    return _cosine(_ranks(ours), _ranks(theirs))


def kendall(ours: Floats, theirs: Floats) -> Floats:
    """Kendall's τ-b of each row, arrays of shape (rows, n): concordant less discordant pairs.

    nan where all values of a row are equal, or one of them is nan (Kendall 1945).
    """
    first, second = np.triu_indices(ours.shape[-1], 1)
    return _cosine(
        np.sign(ours[:, first] - ours[:, second]), np.sign(theirs[:, first] - theirs[:, second])
    )


def _ranks(values: Floats) -> Floats:
    """Midranks of each row, less their mean."""
    above = np.sign(values[:, :, None] - values[:, None, :])
    ranks: Floats = above.sum(axis=-1) / 2
    return ranks


def _cosine(ours: Floats, theirs: Floats) -> Floats:
    products = (ours * theirs).sum(axis=-1)
    sizes = np.sqrt((ours**2).sum(axis=-1) * (theirs**2).sum(axis=-1))
    cosines: Floats = np.full(products.shape, np.nan)
    np.divide(products, sizes, out=cosines, where=sizes > 0)
    return cosines
