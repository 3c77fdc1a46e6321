"""Evaluation: retrieval quality, its uncertainty, and tables and plots of the results."""

from .reporting.documents import DISCLAIMER
from .reporting.figures import PLOT_FORMATS
from .reporting.rendering import FORMATS
from .retrieval.comparison import (
    Comparison,
    ComparisonSettings,
    compare_pair,
    compare_systems,
    correct_p_values,
    family_by_measure,
    query_differences,
    resolve_baseline,
)
from .retrieval.comparison_tables import build_comparison_table, build_sets_table
from .retrieval.difference_plot import plot_differences
from .retrieval.evaluation import (
    Evaluation,
    OwnNotes,
    QueryCounts,
    evaluate_run,
    evaluate_searcher,
)
from .retrieval.judgements import judgement_fingerprints, judgements_digest
from .retrieval.measures import (
    DEFAULT_MEASURES,
    parse_measures,
    required_depth,
    split_measures,
)
from .retrieval.run_cache import CachingSearcher, RunCache
from .retrieval.settings_file import (
    TunedSettings,
    build_tuned_settings,
    read_tuned_settings,
    was_tuned_on,
    write_tuned_settings,
)
from .retrieval.table_document import build_table_document, render_table
from .retrieval.tables import (
    MeanEstimate,
    ReportRow,
    Table,
    build_report_row,
    build_table,
    per_query_csv,
)
from .retrieval.tuning import (
    CandidateSettings,
    SettingValue,
    TuningResult,
    cross_validate,
    parameter_grid,
    tune_searcher,
)
from .statistics.folds import Folds
from .statistics.intervals import Interval, bootstrap_interval
from .statistics.significance import (
    Randomisation,
    TTest,
    holm,
    paired_differences,
    randomisation_test,
    t_test,
)

__all__ = [
    "DEFAULT_MEASURES",
    "DISCLAIMER",
    "FORMATS",
    "PLOT_FORMATS",
    "CachingSearcher",
    "CandidateSettings",
    "Comparison",
    "ComparisonSettings",
    "Evaluation",
    "Folds",
    "Interval",
    "MeanEstimate",
    "OwnNotes",
    "QueryCounts",
    "Randomisation",
    "ReportRow",
    "RunCache",
    "SettingValue",
    "TTest",
    "Table",
    "TunedSettings",
    "TuningResult",
    "bootstrap_interval",
    "build_comparison_table",
    "build_report_row",
    "build_sets_table",
    "build_table",
    "build_table_document",
    "build_tuned_settings",
    "compare_pair",
    "compare_systems",
    "correct_p_values",
    "cross_validate",
    "evaluate_run",
    "evaluate_searcher",
    "family_by_measure",
    "holm",
    "judgement_fingerprints",
    "judgements_digest",
    "paired_differences",
    "parameter_grid",
    "parse_measures",
    "per_query_csv",
    "plot_differences",
    "query_differences",
    "randomisation_test",
    "read_tuned_settings",
    "render_table",
    "required_depth",
    "resolve_baseline",
    "split_measures",
    "t_test",
    "tune_searcher",
    "was_tuned_on",
    "write_tuned_settings",
]
