"""The search for λ: which merge is best for some patients, how certain that is, what it reveals.

Independent of any model: a `ScorerFactory` makes a scorer of each candidate.
"""

from .candidate_evaluator import CandidateEvaluator
from .candidates import LAMBDA, Candidate, lambda_grid
from .contrasts import Contrast
from .estimates import CandidateEstimate, Estimate, FoldDeLongTest
from .evidence.pareto import ParetoPoint, best_retaining_input, pareto_points, retention_candidates
from .evidence.power import ChoicePower, PowerPoint, choice_power
from .evidence.proxies import ANSWER_ENTROPY, ProxyCorrelation, correlate_proxies
from .evidence.retention import RetentionCurve, measure_retention
from .evidence.verdict import choice_warning, input_contrasts, is_better
from .instances import Indices, Instances, InstanceScorer, InstanceScores, ScorerFactory
from .metric_registry import METRIC_KINDS, MetricOptions, build_metric
from .metrics import AUPRC, AUROC, AUROC_HARD, MORTALITY_METRICS, MeanMetric, Metric, Perplexity
from .nested_selection import (
    BASELINE_CANDIDATES,
    FoldChoice,
    Selection,
    SelectionSettings,
    select_candidate,
)
from .patient_folds import PatientFolds
from .privacy import (
    ExponentialMechanism,
    PrivateChoice,
    bits_leaked,
    choose_privately,
    parse_epsilon,
)
from .queries import query_instances, query_scorer, retrieval_metric, select_judged_queries
from .reporting.ablation import ABLATION_ROWS, ablation_rows, build_ablation
from .reporting.ablation_files import ablation_csv, ablation_suffix, plot_ablation, write_ablation
from .reporting.card import model_card_remarks, private_record, selection_record
from .reporting.pareto_plot import plot_pareto
from .reporting.power_plot import plot_power
from .reporting.report import build_selection_report, selection_data
from .reporting.sweeps import plot_sweeps, sweep_csv
from .score_store import ScoreStore
from .strategies.delta_weights import delta_baselines, delta_search_space, delta_weights
from .strategies.grid import GridSearch
from .strategies.halving import HalvingRound, SuccessiveHalving
from .strategies.model_weights import (
    METHOD,
    equal_weights_candidate,
    model_weights,
    single_model_candidate,
    starting_candidates,
    weight_search_space,
)
from .strategies.optuna_search import OptunaSearch
from .strategies.registry import STRATEGIES, StrategyOptions, build_strategy
from .strategies.search_space import Axis, Range, SearchSpace
from .strategies.strategy import Strategy, StrategyResult, Trial
from .texts import Text, read_texts, text_instances, text_scorer, token_counts

__all__ = [
    "ABLATION_ROWS",
    "ANSWER_ENTROPY",
    "AUPRC",
    "AUROC",
    "AUROC_HARD",
    "BASELINE_CANDIDATES",
    "LAMBDA",
    "METHOD",
    "METRIC_KINDS",
    "MORTALITY_METRICS",
    "STRATEGIES",
    "Axis",
    "Candidate",
    "CandidateEstimate",
    "CandidateEvaluator",
    "ChoicePower",
    "Contrast",
    "Estimate",
    "ExponentialMechanism",
    "FoldChoice",
    "FoldDeLongTest",
    "GridSearch",
    "HalvingRound",
    "Indices",
    "InstanceScorer",
    "InstanceScores",
    "Instances",
    "MeanMetric",
    "Metric",
    "MetricOptions",
    "OptunaSearch",
    "ParetoPoint",
    "PatientFolds",
    "Perplexity",
    "PowerPoint",
    "PrivateChoice",
    "ProxyCorrelation",
    "Range",
    "RetentionCurve",
    "ScoreStore",
    "ScorerFactory",
    "SearchSpace",
    "Selection",
    "SelectionSettings",
    "Strategy",
    "StrategyOptions",
    "StrategyResult",
    "SuccessiveHalving",
    "Text",
    "Trial",
    "ablation_csv",
    "ablation_rows",
    "ablation_suffix",
    "best_retaining_input",
    "bits_leaked",
    "build_ablation",
    "build_metric",
    "build_selection_report",
    "build_strategy",
    "choice_power",
    "choice_warning",
    "choose_privately",
    "correlate_proxies",
    "delta_baselines",
    "delta_search_space",
    "delta_weights",
    "equal_weights_candidate",
    "input_contrasts",
    "is_better",
    "lambda_grid",
    "measure_retention",
    "model_card_remarks",
    "model_weights",
    "pareto_points",
    "parse_epsilon",
    "plot_ablation",
    "plot_pareto",
    "plot_power",
    "plot_sweeps",
    "private_record",
    "query_instances",
    "query_scorer",
    "read_texts",
    "retention_candidates",
    "retrieval_metric",
    "select_candidate",
    "select_judged_queries",
    "selection_data",
    "selection_record",
    "single_model_candidate",
    "starting_candidates",
    "sweep_csv",
    "text_instances",
    "text_scorer",
    "token_counts",
    "weight_search_space",
    "write_ablation",
]
