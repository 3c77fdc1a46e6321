"""Tables of several systems compared with a baseline, on one set or on several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evaluator.statistics.significance import EXACT_PAIRS
from patientdx.errors import EvaluationError
from patientdx.wording import count_noun

from .comparison import (
    Comparison,
    ComparisonSettings,
    compare_systems,
    correct_p_values,
    resolve_baseline,
)
from .evaluation import Evaluation
from .tables import Table, build_table


def build_comparison_table(
    evaluations: Mapping[str, Evaluation],
    notes: Mapping[str, str],
    *,
    baseline: str | None = None,
    comparisons: Sequence[Comparison] | None = None,
    reconstructed: Sequence[str] = (),
    settings: ComparisonSettings | None = None,
) -> Table:
    """The table of `build_table`, with comparisons with the baseline (the first by default).

    Without `comparisons` all other systems are compared on all measures; p-values are corrected
    by Holm's procedure over the systems, for each measure separately. Pass the output of
    `correct_p_values` if the family is larger, such as all systems on several sets.
    `reconstructed` names what is not as published but *reconstructed* or *inferred*; it becomes
    a note.

    Raises EvaluationError as `build_table` and `compare_systems`, and for comparisons with
    another baseline or with systems that are not in the table.
    """
    settings = settings or ComparisonSettings()
    table = build_table(
        evaluations,
        notes,
        level=settings.level,
        resamples=settings.resamples,
        seed=settings.seed,
    )
    first = resolve_baseline(evaluations, baseline)
    if comparisons is None:
        comparisons = correct_p_values(
            compare_systems(evaluations, baseline=first, settings=settings)
        )
    if any(
        comparison.baseline != first or comparison.system not in evaluations
        for comparison in comparisons
    ):
        raise EvaluationError(f"the comparisons are not of these systems with `{first}`")
    counted = f"{count_noun(table.rows[0].n, 'query', 'queries')}, the same for all systems"
    return _with_comparisons(table, comparisons, counted, reconstructed)


def build_sets_table(
    sets: Mapping[str, Mapping[str, Evaluation]],
    notes: Mapping[str, str],
    *,
    baseline: str | None = None,
    reconstructed: Sequence[str] = (),
    settings: ComparisonSettings | None = None,
) -> Table:
    """One table of several sets (set -> system -> evaluation), with a column for the set.

    Every system is compared with the baseline (by default the first of the set) on its set;
    Holm's family is all systems on all sets, for each measure separately. Raises EvaluationError
    for no set, and as `build_comparison_table`.
    """
    settings = settings or ComparisonSettings()
    tables = {
        name: build_comparison_table(
            evaluations, notes, baseline=baseline, comparisons=[], settings=settings
        )
        for name, evaluations in sets.items()
    }
    comparisons = [
        comparison
        for name, evaluations in sets.items()
        for comparison in compare_systems(
            evaluations, baseline=baseline, dataset=name, settings=settings
        )
    ]
    if len({table.measures for table in tables.values()}) != 1:
        raise EvaluationError("a table needs one set or more, all with the same measures")
    if len({comparison.baseline for comparison in comparisons}) > 1:
        raise EvaluationError("a table needs the same baseline on all sets")
    rows = [replace(row, dataset=name) for name, table in tables.items() for row in table.rows]
    counted = ", ".join(f"{table.rows[0].n:,} ({name})" for name, table in tables.items())
    return _with_comparisons(
        replace(next(iter(tables.values())), rows=tuple(rows)),
        correct_p_values(comparisons),
        f"{counted} queries, the same for all systems",
        reconstructed,
    )


def _with_comparisons(
    table: Table, comparisons: Sequence[Comparison], counted: str, reconstructed: Sequence[str]
) -> Table:
    """The table with comparisons, and with their notes and method."""
    notes = {**table.notes, "n": counted}
    if reconstructed:
        notes["reconstructed"] = "; ".join(reconstructed)
    method = " ".join([table.method, *_method_of(comparisons)])
    return replace(table, notes=notes, method=method, comparisons=tuple(comparisons))


def _method_of(comparisons: Sequence[Comparison]) -> list[str]:
    """Sentences on how the comparisons were made; none without comparisons."""
    if not comparisons:
        return []
    settings = comparisons[0].settings
    differences = (
        "Differences: mean over the queries of system minus baseline, with the interval of that"
        " mean, made in the same way; wins, ties and losses count queries."
    )
    tests = (
        "p: two-sided paired tests of the difference, Fisher's randomisation test"
        f" ({settings.permutations:,} permutations, seed {settings.seed}; all of them where"
        f" {EXACT_PAIRS} queries or fewer differ) and Student's t-test (Smucker et al. 2007)."
    )
    return [differences, tests, _correction(comparisons)]


def _correction(comparisons: Sequence[Comparison]) -> str:
    sizes = sorted({known.family for known in comparisons if known.family is not None})
    if not sizes:
        return "p is not corrected for the number of comparisons."
    families = " or ".join(map(str, sizes))
    return f"p is corrected by Holm's procedure over families of {families} (Holm 1979)."
