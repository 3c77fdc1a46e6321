"""Evaluation: how good rankings are, how far the figures can be trusted, and tables of them."""

from .measures import DEFAULT_MEASURES, depth_needed, parse_measures
from .report import (
    CAPTION,
    FORMATS,
    Figure,
    ReportRow,
    Table,
    build_table,
    per_query_csv,
    render,
    report_row,
)
from .retrieval import Counts, Evaluation, evaluate_run, evaluate_searcher
from .statistics import Interval, bootstrap_interval

__all__ = [
    "CAPTION",
    "DEFAULT_MEASURES",
    "FORMATS",
    "Counts",
    "Evaluation",
    "Figure",
    "Interval",
    "ReportRow",
    "Table",
    "bootstrap_interval",
    "build_table",
    "depth_needed",
    "evaluate_run",
    "evaluate_searcher",
    "parse_measures",
    "per_query_csv",
    "render",
    "report_row",
]
