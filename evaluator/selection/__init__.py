"""The search for λ: which merge is best for some patients, how sure that is, what it reveals.

Independent of any model: a factory makes a scorer of each candidate.
"""

from .candidates import LAMBDA, Candidate, steps
from .instances import Factory, Instances, Places, Ratings, Scorer
from .judging import DeLong, Judged, Point
from .ledger import Ledger
from .metrics import AUPRC, AUROC, AUROC_HARD, METRICS, MeanMetric, Metric, Perplexity, metric_named
from .patient_folds import Deal
from .privacy import (
    ExponentialMechanism,
    PrivateChoice,
    bits_leaked,
    choose_privately,
    read_epsilon,
)
from .queries import judged_queries, query_instances, query_scorer, retrieval_metric
from .reporting.ablation import ROWS, ablation_rows, build_ablation
from .reporting.ablation_files import ablation_csv, ablation_suffix, plot_ablation, write_ablation
from .reporting.card import card_remarks, private_record, selection_record
from .reporting.report import build_selection_report, selection_data
from .reporting.sweeps import plot_sweeps, sweep_csv
from .score_store import ScoreStore
from .selection import BASELINES, Contrast, FoldChoice, Selection, SelectionSettings, select
from .strategies.halving import Halving, Round
from .strategies.optuna import Axis, OptunaSearch, Range
from .strategies.search import GridSearch, Search, Strategy, Tried
from .strategies.simplex import METHOD, alike, alone, simplex_space, starts, weights_of
from .texts import Text, read_texts, text_instances, text_scorer, token_counts

__all__ = [
    "AUPRC",
    "AUROC",
    "AUROC_HARD",
    "BASELINES",
    "LAMBDA",
    "METHOD",
    "METRICS",
    "ROWS",
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
    "Text",
    "Tried",
    "ablation_csv",
    "ablation_rows",
    "ablation_suffix",
    "alike",
    "alone",
    "bits_leaked",
    "build_ablation",
    "build_selection_report",
    "card_remarks",
    "choose_privately",
    "judged_queries",
    "metric_named",
    "plot_ablation",
    "plot_sweeps",
    "private_record",
    "query_instances",
    "query_scorer",
    "read_epsilon",
    "read_texts",
    "retrieval_metric",
    "select",
    "selection_data",
    "selection_record",
    "simplex_space",
    "starts",
    "steps",
    "sweep_csv",
    "text_instances",
    "text_scorer",
    "token_counts",
    "weights_of",
    "write_ablation",
]
