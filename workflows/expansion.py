"""Expanding a file of queries once, so that the expansions can be kept and used again."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from expander import (
    STRATEGIES,
    GenerationProgress,
    expand_queries,
    expansion_row,
    make_strategy,
)
from expander.systems.system import parse_system
from patientdx.errors import UsageError
from patientdx.protocols import PatientIndex
from patientdx.records import Query
from patientdx.wording import count_noun

from .generators import GeneratorSettings
from .monitor import LOG, Monitor, Progress
from .systems import open_resources


def expand_query_file(
    queries: Sequence[Query],
    strategy: str,
    *,
    index: PatientIndex | None = None,
    generator: GeneratorSettings | None = None,
    vocabularies: Sequence[Path] = (),
    with_replies: bool = False,
    monitor: Monitor = LOG,
) -> list[dict[str, Any]]:
    """One row a query: its id and what the strategy adds, never its text.

    Replies of a model are kept as each batch completes, so a run that was killed resumes.
    Reports how many queries were changed, and the model's tokens a second.
    """
    if strategy not in STRATEGIES:
        raise _unknown_strategy(strategy)
    with monitor.progress(f"expanding by {strategy}", len(queries)) as report:
        pace = GenerationPace(report)
        with open_resources(
            [strategy],
            index,
            generator=generator,
            vocabularies=vocabularies,
            monitor=monitor,
            on_progress=pace.update,
        ) as resources:
            expansions = expand_queries(queries, make_strategy(strategy, resources))
            rows = [expansion_row(row, with_reply=with_replies) for row in expansions]
    speed = f", {pace.speed()}" if pace.speed() else ""
    changed = sum(1 for row in rows if row["weights"] or row["terms"] or row["replaces_text"])
    total = count_noun(len(rows), "query", "queries")
    share = "" if changed == len(rows) else f"{changed:,} of "
    monitor.notice(f"{share}{total} expanded{speed}")
    return rows


def _unknown_strategy(name: str) -> UsageError:
    """The error of what is no strategy; systems that do more than add terms rank elsewhere."""
    try:
        is_system = name != "bm25" and bool(str(parse_system(name)))
    except UsageError:
        is_system = False
    if not is_system:
        return UsageError(f"unknown strategy `{name}`", hint=f"one of {', '.join(STRATEGIES)}")
    hint = f"evaluate-ir --system '{name}' --index FOLDER --data FOLDER --write-run FILE"
    if name == "phrases":
        hint = f"search --expand {name} --queries FILE --index FOLDER --write-run FILE"
    return UsageError(
        f"`{name}` ranks hits itself: `expand` writes only what is added to queries",
        hint=hint,
    )


class GenerationPace:
    """Counts prompts and generated tokens, and reports the model's speed beside the progress."""

    def __init__(self, report: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._start = clock()
        self._prompts = 0
        self._tokens = 0

    def update(self, step: GenerationProgress) -> None:
        """Add a step of the generator."""
        self._prompts += step.prompts
        self._tokens += step.tokens
        self._report(self._prompts, self.speed())

    def speed(self) -> str:
        """Tokens a second; empty where the model reported none."""
        seconds = max(self._clock() - self._start, 1e-9)
        return f"{self._tokens / seconds:.0f} tokens/s" if self._tokens else ""
