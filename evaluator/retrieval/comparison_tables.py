"""Tables of several systems, each against the first, on one set or on several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evaluator.statistics.significance import EXACT_PAIRS
from patientdx.errors import EvaluationError

from .comparison import Comparison, ComparisonSettings, baseline_of, compare_systems, corrected
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
    """`build_table`, and the other systems against the baseline (the first, if none is named).

    Without `comparisons` all pairs are compared on all measures and corrected by Holm's
    procedure over the systems, for each measure apart. Give them, out of `corrected`, where the
    family is a larger one, such as all systems on several sets. `reconstructed` names what is
    not as published but *reconstructed* or *inferred*, and becomes a note.

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
    first = baseline_of(evaluations, baseline)
    if comparisons is None:
        comparisons = corrected(compare_systems(evaluations, baseline=first, settings=settings))
    if any(one.baseline != first or one.system not in evaluations for one in comparisons):
        raise EvaluationError(f"the comparisons are not of these systems with `{first}`")
    counted = f"{table.rows[0].n:,} queries, the same for all systems"
    return _compared(table, comparisons, counted, reconstructed)


def build_sets_table(
    sets: Mapping[str, Mapping[str, Evaluation]],
    notes: Mapping[str, str],
    *,
    baseline: str | None = None,
    reconstructed: Sequence[str] = (),
    settings: ComparisonSettings | None = None,
) -> Table:
    """One table of several sets (set -> system -> evaluation), with a column for the set.

    Every system is compared with the baseline (the first of each set, if none is named) on its
    set; Holm's family is all systems on all sets, for each measure apart. Raises EvaluationError
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
        one
        for name, evaluations in sets.items()
        for one in compare_systems(evaluations, baseline=baseline, dataset=name, settings=settings)
    ]
    if len({table.measures for table in tables.values()}) != 1:
        raise EvaluationError("a table needs one set or more, all with the same measures")
    if len({one.baseline for one in comparisons}) > 1:
        raise EvaluationError("a table needs the same baseline on all sets")
    rows = [replace(row, dataset=name) for name, table in tables.items() for row in table.rows]
    counted = ", ".join(f"{table.rows[0].n:,} ({name})" for name, table in tables.items())
    return _compared(
        replace(next(iter(tables.values())), rows=tuple(rows)),
        corrected(comparisons),
        f"{counted} queries, the same for all systems",
        reconstructed,
    )


def _compared(
    table: Table, comparisons: Sequence[Comparison], counted: str, reconstructed: Sequence[str]
) -> Table:
    """The table with comparisons, and the notes and method that they need."""
    told = {**table.notes, "n": counted}
    if reconstructed:
        told["reconstructed"] = "; ".join(reconstructed)
    method = " ".join([table.method, *_method_of(comparisons)])
    return replace(table, notes=told, method=method, comparisons=tuple(comparisons))


def _method_of(comparisons: Sequence[Comparison]) -> list[str]:
    """How the comparisons were made, in sentences; none where there are none."""
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
    sizes = sorted({one.family for one in comparisons if one.family is not None})
    if not sizes:
        return "p is not corrected for the number of comparisons."
    shown = " or ".join(map(str, sizes))
    return f"p is corrected by Holm's procedure over families of {shown} (Holm 1979)."
