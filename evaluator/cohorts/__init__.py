"""Cohorts: stays in intensive care, how they were chosen, and their records as text."""

from .cohort import Cohort, read_cohort
from .metadata import CohortMeta, FlowStep
from .sections import (
    PRESETS,
    SectionText,
    Templates,
    join_sections,
    parse_sections,
    read_templates,
    render_stay,
)
from .stay import SECTIONS, Bin, Measurement, Stay
from .writer import write_cohort

__all__ = [
    "PRESETS",
    "SECTIONS",
    "Bin",
    "Cohort",
    "CohortMeta",
    "FlowStep",
    "Measurement",
    "SectionText",
    "Stay",
    "Templates",
    "join_sections",
    "parse_sections",
    "read_cohort",
    "read_templates",
    "render_stay",
    "write_cohort",
]
