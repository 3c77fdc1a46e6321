"""The protocol of source readers: a reader turns the files of a source into the cohort's tables."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from evaluator.cohorts.database import Database
from evaluator.cohorts.metadata import FlowStep
from evaluator.cohorts.settings import CohortSettings


class SourceContents(NamedTuple):
    """The flow of a source's rows, and notes on its data."""

    flow: list[FlowStep]
    notes: list[str]


class SourceReader(Protocol):
    """Reads a source into the database. It creates the tables (`row` is the number of a stay):

    * `candidate_stays` (drop_reason, ...), all stays of the source, for the flow;
    * `stays` (row, stay, subject, hours, died, age, sex, unit, race, insurance, chosen); stays that
      are not `chosen` count for the percentiles of outliers only;
    * `chart_rows` (drop_reason, row, item, seconds since the start of the window, value, unit),
      which it hands to `evaluator.cohorts.charts.bin_charts`;
    * `medication_means` (row, item, mean), `presence` (section, row, item) of procedures and
      outputs, `diagnosis_roots` (row, root, title, sort_key), and `items` (item, label).
    """

    @property
    def source(self) -> str:
        """The name of the source in the metadata."""

    def read(
        self, database: Database, settings: CohortSettings, on_step: Callable[[str], None]
    ) -> SourceContents:
        """Creates the tables. Raises InputError for files that cannot be used."""
