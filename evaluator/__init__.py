"""Evaluation: how good rankings are, how far the figures can be trusted, and tables of them."""

from .reporting.plots import PLOT_FORMATS, plot_differences
from .reporting.rendering import FORMATS, render
from .retrieval.comparison import (
    Comparison,
    ComparisonSettings,
    baseline_of,
    by_measure,
    compare,
    compare_systems,
    corrected,
    query_differences,
)
from .retrieval.comparison_tables import build_comparison_table, build_sets_table
from .retrieval.evaluation import Counts, Evaluation, evaluate_run, evaluate_searcher
from .retrieval.judgements import digest_of, fingerprints
from .retrieval.measures import DEFAULT_MEASURES, depth_needed, parse_measures
from .retrieval.remembered_runs import RememberingSearcher, RunMemory
from .retrieval.settings_file import (
    TunedSettings,
    read_tuned,
    tuned_on,
    tuned_settings,
    write_tuned,
)
from .retrieval.tables import (
    CAPTION,
    Figure,
    ReportRow,
    Table,
    build_table,
    per_query_csv,
    report_row,
)
from .retrieval.tuning import Setting, Settings, Tuning, cross_validate, grid, tune
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
    "CAPTION",
    "DEFAULT_MEASURES",
    "FORMATS",
    "PLOT_FORMATS",
    "Comparison",
    "ComparisonSettings",
    "Counts",
    "Evaluation",
    "Figure",
    "Folds",
    "Interval",
    "Randomisation",
    "RememberingSearcher",
    "ReportRow",
    "RunMemory",
    "Setting",
    "Settings",
    "TTest",
    "Table",
    "TunedSettings",
    "Tuning",
    "baseline_of",
    "bootstrap_interval",
    "build_comparison_table",
    "build_sets_table",
    "build_table",
    "by_measure",
    "compare",
    "compare_systems",
    "corrected",
    "cross_validate",
    "depth_needed",
    "digest_of",
    "evaluate_run",
    "evaluate_searcher",
    "fingerprints",
    "grid",
    "holm",
    "paired_differences",
    "parse_measures",
    "per_query_csv",
    "plot_differences",
    "query_differences",
    "randomisation_test",
    "read_tuned",
    "render",
    "report_row",
    "t_test",
    "tune",
    "tuned_on",
    "tuned_settings",
    "write_tuned",
]
