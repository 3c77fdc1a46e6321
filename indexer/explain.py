"""Explaining a hit: the share of each term in its score."""

import numpy as np

from patientdx.records import Explanation, TermShare

from .bm25 import BM25Settings, length_norms
from .scoring.statistics import WeightedTerms
from .segments.segment import Segment


def explain_score(
    segment: Segment,
    s: int,
    note: int,
    query: WeightedTerms,
    average_length: float,
    settings: BM25Settings,
) -> Explanation:
    """Explains the score of note `note` of segment number `s`, from its postings."""
    norm = float(length_norms(segment.lengths[note : note + 1], average_length, settings)[0])
    total = 0.0
    shares = []
    numbers = query.numbers[s].tolist()
    for term, number, weight in zip(query.terms, numbers, query.weights.tolist(), strict=True):
        tf = segment.frequency(number, note) if number >= 0 else 0.0
        if tf > 0:
            share = weight * (tf / (tf + norm))
            total += share
            shares.append(TermShare(term, share, weight, int(tf)))
    shares.sort(key=lambda entry: (-entry.share, entry.term))
    return Explanation(segment.ids[note], float(np.float32(total)), tuple(shares))
