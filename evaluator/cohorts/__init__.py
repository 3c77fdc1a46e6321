"""Cohorts: stays in intensive care, how they were chosen, and their records as text."""

from .cohort import SECTIONS, Bin, Cohort, CohortMeta, FlowStep, Measured, Stay
from .cohort_file import read_cohort, write_cohort
from .sections import (
    PRESETS,
    SectionText,
    Templates,
    parse_sections,
    read_templates,
    record,
    render,
)

__all__ = [
    "PRESETS",
    "SECTIONS",
    "Bin",
    "Cohort",
    "CohortMeta",
    "FlowStep",
    "Measured",
    "SectionText",
    "Stay",
    "Templates",
    "parse_sections",
    "read_cohort",
    "read_templates",
    "record",
    "render",
    "write_cohort",
]
