"""The search for λ: which merge is best for some patients, how sure that is, what it reveals.

Independent of any model: a factory makes a scorer of each candidate.
"""

from .candidates import LAMBDA, Candidate, steps
from .dealing import Deal
from .halving import Halving, Round
from .instances import Factory, Instances, Places, Ratings, Scorer
from .judging import DeLong, Judged, Point
from .ledger import Ledger
from .metrics import AUPRC, AUROC, AUROC_HARD, METRICS, MeanMetric, Metric, Perplexity, metric_named
from .optuna_search import Axis, OptunaSearch, Range
from .privacy import (
    ExponentialMechanism,
    PrivateChoice,
    bits_leaked,
    choose_privately,
    read_epsilon,
)
from .score_store import ScoreStore
from .selection import BASELINES, Contrast, FoldChoice, Selection, SelectionSettings, select
from .strategies import GridSearch, Search, Strategy, Tried

__all__ = [
    "AUPRC",
    "AUROC",
    "AUROC_HARD",
    "BASELINES",
    "LAMBDA",
    "METRICS",
    "Axis",
    "Candidate",
    "Contrast",
    "DeLong",
    "Deal",
    "ExponentialMechanism",
    "Factory",
    "FoldChoice",
    "GridSearch",
    "Halving",
    "Instances",
    "Judged",
    "Ledger",
    "MeanMetric",
    "Metric",
    "OptunaSearch",
    "Perplexity",
    "Places",
    "Point",
    "PrivateChoice",
    "Range",
    "Ratings",
    "Round",
    "ScoreStore",
    "Scorer",
    "Search",
    "Selection",
    "SelectionSettings",
    "Strategy",
    "Tried",
    "bits_leaked",
    "choose_privately",
    "metric_named",
    "read_epsilon",
    "select",
    "steps",
]
