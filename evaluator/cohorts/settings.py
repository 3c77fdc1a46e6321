"""Every constant of a cohort's definition, by name, with the paper's value as its default.

Source: Mimic4Dataset (`mortality.config`) over healthylaife/MIMIC-IV-Data-Pipeline, as
*reconstructed* in the reference documents.
"""

from dataclasses import dataclass
from typing import Literal

from patientdx.errors import UsageError

Diagnoses = Literal["all", "prior", "none"]
Imputation = Literal["forward-backward", "forward-mean", "none"]

LEAK_NOTE = (
    "the diagnoses are the codes assigned to the stay's own admission at discharge: they were "
    "written after the outcome and leak it (--diagnoses prior or none leaves them out)"
)


@dataclass(frozen=True)
class CohortSettings:
    """The rules that choose stays and turn their window into values.

    Hours are whole hours since admission to the unit. A stay needs `window_hours` and then
    `gap_hours` more. The window is cut into bins of `bin_hours`. Values above the percentile
    `outlier_percentile` of their quantity (or below `outlier_low_percentile`) are dropped, as
    are rows in another unit where one unit has more than `unit_share` of a quantity's rows.
    `imputation` fills empty bins: from the bin before, then leading ones from the first
    ("forward-backward", as the pipeline does) or with the mean ("forward-mean"); "none" takes the
    mean of the filled bins. `root_length` is the number of characters kept of an ICD-10 code.
    `medication` chooses the amount or the rate of an infusion.
    """

    min_age: float = 18
    window_hours: int = 48
    gap_hours: int = 6
    bin_hours: int = 2
    outlier_percentile: float = 98
    outlier_low_percentile: float = 0
    unit_share: float = 0.95
    imputation: Imputation = "forward-backward"
    diagnoses: Diagnoses = "all"
    convert_icd9: bool = True
    root_length: int = 3
    medication: Literal["amount", "rate"] = "amount"

    def __post_init__(self) -> None:
        if min(self.window_hours, self.bin_hours) < 1 or self.window_hours % self.bin_hours:
            raise UsageError(
                f"a window of {self.window_hours} h cannot be cut into bins of {self.bin_hours} h"
            )
        low, high = self.outlier_low_percentile, self.outlier_percentile
        if not 0 <= low < high <= 100:
            raise UsageError(f"percentiles must satisfy 0 <= {low:g} < {high:g} <= 100")
        if not 0 <= self.unit_share <= 1 or self.gap_hours < 0 or self.root_length < 1:
            raise UsageError("shares lie between 0 and 1, hours and lengths are not negative")

    @property
    def bins(self) -> int:
        """Number of bins of the window."""
        return self.window_hours // self.bin_hours

    @property
    def min_hours(self) -> int:
        """Length of the shortest stay in hours."""
        return self.window_hours + self.gap_hours


PAPER_SETTINGS = CohortSettings()
