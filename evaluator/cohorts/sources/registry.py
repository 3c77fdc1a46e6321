"""The sources of cohorts. To add one:

1. write `sources/NAME.py` with a `SourceReader` (see `reader.py` for the tables it creates), and
   its SQL in `evaluator/cohorts/sql/`;
2. add its reasons for dropping rows, where they are new, to `evaluator/cohorts/flow.py`;
3. add a row to `COHORT_SOURCES` below;
4. add its command to `commands/cohort.py`, with the options that the row names;
5. add a miniature to `tests/support/small_cohorts.py` and a test with hand-computed values.

`tests/cli/test_cohort.py` checks that every row has a command with its summary and its settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from evaluator.cohorts.settings import PAPER_SETTINGS, CohortSettings

from .meds import MedsReader
from .mimic import MimicReader
from .physionet import PhysioNetReader
from .reader import SourceReader

_WINDOW = (
    "window_hours", "bin_hours", "outlier_percentile", "outlier_low_percentile", "imputation",
)  # fmt: skip
_MIMIC = (
    *_WINDOW, "min_age", "gap_hours", "unit_share", "diagnoses", "convert_icd9", "root_length",
    "medication",
)  # fmt: skip


@dataclass(frozen=True)
class CohortSource:
    """A source of cohorts.

    `name` is that of its command and in the metadata, `summary` the first sentence of the
    command's help. `reader` makes a reader from the command's input files. `settings` are the
    fields of `CohortSettings` that the command sets; the rest are those of `defaults`.
    """

    name: str
    summary: str
    reader: Callable[..., SourceReader]
    settings: tuple[str, ...]
    defaults: CohortSettings = PAPER_SETTINGS


COHORT_SOURCES: Mapping[str, CohortSource] = MappingProxyType(
    {
        source.name: source
        for source in (
            CohortSource(
                "mimic-iv",
                "Make a cohort of MIMIC-IV (1.0 to 3.x) as Mimic4Dataset does.",
                partial(MimicReader, "mimic-iv"),
                _MIMIC,
            ),
            CohortSource(
                "mimic-iii",
                "Make a cohort of MIMIC-III's tables, by the rules of `cohort mimic-iv`.",
                partial(MimicReader, "mimic-iii"),
                _MIMIC,
            ),
            CohortSource(
                "physionet2012",
                "Make a cohort of the open PhysioNet challenge of 2012 "
                "(in-hospital death, 48 hours).",
                PhysioNetReader,
                _WINDOW,
            ),
            CohortSource(
                "meds",
                "Make a cohort of any MEDS 0.4 folder and its labels; "
                "the window ends at the prediction.",
                MedsReader,
                ("min_age", *_WINDOW),
                CohortSettings(gap_hours=0, diagnoses="prior"),
            ),
        )
    }
)
