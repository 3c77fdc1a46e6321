"""How much one patient can change an AUROC: proven bounds, and AUROCs in exact arithmetic.

**Neighbouring cohorts.** Two cohorts are neighbours where one patient's whole record
is replaced by another's and the outcome stays the same. Each patient has one stay. How many died
(n₊) and how many survived (n₋) is public, and so are the candidates, the two models and
the metric. So everything in a record is protected except to which of the two groups the
patient belongs.

**What a score depends on.** A candidate's score s of a patient is a function of that patient's
record and of public models alone, whatever else is in the cohort. A score that is not finite
counts as lower than every finite one, which is again a function of the record: a failing
candidate is not taken out, for who is a candidate must not depend on anybody's record.

**Proposition 1.** Among neighbours, for every candidate, AUROC changes by at most
S = 1 / min(n₊, n₋).

Proof. AUROC = 1/(n₊ n₋) Σᵢ Σⱼ k(sᵢ, sⱼ) over those i who died and those j who survived, with
k = 1, ½ or 0 as sᵢ is above, equal to or below sⱼ. Let the replaced patient have died. Only that
patient's score is another one, so only the n₋ terms of one i change, each by at most 1:
the sum by at most n₋, AUROC by at most n₋ / (n₊ n₋) = 1/n₊. Let the patient have survived: in the
same way n₊ terms change, and AUROC by at most 1/n₋. The greater of the two is 1/min(n₊, n₋). ∎

The bound is attained: a patient of the smaller group whose score is below all of the other group
is replaced by one whose score is above all of them.

**Proposition 2.** For the AUROC of yes/no answers vᵢ, from 0 to 1, S = 1 / (2 min(n₊, n₋)).

Proof. It equals ½ (mean of v over those who died) + ½ (1 - mean of v over those who survived).
One v changes by at most 1, its mean by at most 1/n₊ or 1/n₋, the half of it by half of that. ∎
It is attained where a wrong answer becomes a right one.

**Where the outcome may change as well** nothing of this holds as it stands: n₊ and n₋ change with
it, and with them S, which must be the same for both cohorts. Taking a survivor out changes AUROC
by at most 1/n₋, putting one who died in by at most 1/(n₊ + 1); if it were public that both groups
have m patients or more in any cohort, 2/(m + 1) would do. This is not
offered. Nor are AUPRC (one patient can change every precision below it), means over queries
(a patient may also be in the corpus of others) and perplexity (unbounded).
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluator.statistics.discrimination import midranks
from patientdx.errors import EvaluationError

from .instances import Floats, Instances, InstanceScores, class_counts
from .metrics import AUROC, AUROC_HARD, Metric

Truth = npt.NDArray[np.bool_]

NEIGHBOUR_RELATION = (
    "two cohorts are neighbours where the whole record of one patient is replaced by that of "
    "another with the same outcome; one stay a patient; the numbers of deaths and of survivors, "
    "the candidates and the two models count as public"
)
"""The definition of neighbours, for reports."""


class Utility(NamedTuple):
    """An exact metric value, and the most that one patient can change it by."""

    value: Fraction
    sensitivity: Fraction


def require_proven_bound(metric: Metric) -> None:
    """Raises EvaluationError for a metric without a proof in this module."""
    if metric not in (AUROC, AUROC_HARD):
        raise EvaluationError(
            f"no bound is proven for what one patient changes in `{metric.name}`",
            hint=f"--epsilon goes with {AUROC.name} or {AUROC_HARD.name}",
        )


def metric_sensitivity(metric: Metric, deaths: int, survivors: int) -> Fraction:
    """S of the propositions above. Raises EvaluationError for a metric without a proof."""
    require_proven_bound(metric)
    if min(deaths, survivors) < 1:
        raise EvaluationError(f"`{metric.name}` is undefined: there is one outcome only")
    return Fraction(1, (1 if metric == AUROC else 2) * min(deaths, survivors))


def exact_utility(metric: Metric, instances: Instances, scores: InstanceScores) -> Utility:
    """The metric of a candidate as a fraction. Raises EvaluationError as `metric_sensitivity`."""
    deaths, survivors = class_counts(instances)
    sensitivity = metric_sensitivity(metric, deaths, survivors)
    died = instances.labels
    if died is None:  # class_counts has raised already
        raise EvaluationError("this needs instances with an outcome")
    if metric == AUROC:
        return Utility(_area(died, scores.scores, deaths, survivors), sensitivity)
    if scores.answers is None:
        raise EvaluationError("`auroc-hard` needs yes/no answers, which the scorer does not give")
    return Utility(_hard_area(died, scores.answers, deaths, survivors), sensitivity)


def _area(died: Truth, scores: Floats, deaths: int, survivors: int) -> Fraction:
    """Mann and Whitney's sum over all pairs, by ranks; twice a midrank is a whole number."""
    ranked = np.where(np.isfinite(scores), scores, -np.inf)
    twice = np.rint(2 * midranks(ranked)[died]).astype(np.int64)
    pairs = int(twice.sum()) - deaths * (deaths + 1)
    return Fraction(pairs, 2 * deaths * survivors)


def _hard_area(died: Truth, answers: Floats, deaths: int, survivors: int) -> Fraction:
    """The AUROC of yes/no answers, which are counted in halves: 0, 1 or 2 of them."""
    halves = np.rint(2 * answers).astype(np.int64)
    right = Fraction(int(halves[died].sum()), 2 * deaths)
    wrong = Fraction(int(halves[~died].sum()), 2 * survivors)
    return (1 + right - wrong) / 2
