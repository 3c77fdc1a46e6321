"""One analysis of the search benchmark: builds, checks, timed rounds, memory."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agreement import Answers, compare
from parent import Child, EngineError
from rows import EXACT_DEPTH, WORKLOADS, Analysis, Plan, Row, Workload

CHECKED_QUERIES = 20


class Rounds:
    """The engines of one analysis take turns, so that a busy moment hits all alike."""

    def __init__(self, plan: Plan, stop_words: str) -> None:
        self.plan = plan
        self.result = Analysis(stop_words)
        self.folder = plan.folder / stop_words
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.tokens = self.folder / "tokens"
        self.live: dict[str, Child] = {}

    def start(self, engine: str, threads: int = 1) -> Child:
        """A new process for an engine."""
        python = self.plan.lucene_python if engine == "lucene" else sys.executable
        log = self.folder / f"{engine}.log"
        stop_words = self.result.stop_words
        return Child(engine, log, stop_words=stop_words, threads=threads, python=python)

    def reference(self) -> None:
        """Tokens and queries for all, and the exact rankings."""
        plan, result = self.plan, self.result
        tokens = str(self.tokens)
        with self.start("exact") as child:
            result.corpus = child.ask(
                "tokens", corpus=str(plan.corpus), size=plan.size, folder=tokens
            )
            for kind, source in _sources(plan).items():
                options = {"source": str(source), "count": plan.counts()[kind], "tokens": tokens}
                into = str(self.queries(kind))
                result.asked[kind] = child.ask("choose", into=into, **options)
        # Another process: what tokenising left in memory is no part of what follows.
        with self.start("exact") as child:
            result.bandwidth = child.ask("bandwidth")
            child.ask("load")
            child.ask("open", folder=tokens)
            for kind in result.asked:
                self.prepare(child, kind, [""])
                result.touched[kind] = child.ask("touched", workload=kind)
            self.answers(child, "exact")

    def ready(self, name: str, stack: ExitStack) -> None:
        """Builds and opens one engine, checks it, and chooses how it is asked."""
        row = Row(name)
        self.result.rows.append(row)
        child = stack.enter_context(self.start(name))
        with _recorded(row):
            row.facts = child.ask("load")
            self.build(row, child)
            child.ask("open", folder=self.index(name))
            kinds = ["whole", "short", *(["batch"] if row.facts["batches"] else [])]
            spent = {kind: self.prepare(child, kind, row.facts["variants"]) for kind in kinds}
            self.check(row, child)
            for workload in WORKLOADS:
                row.variants[str(workload)] = self.variant(row, child, workload)
            row.prepare_ms = {
                kind: spent[kind][row.variants[f"{kind}@1000"]] for kind in ("whole", "short")
            }
            self.live[name] = child

    def build(self, row: Row, child: Child) -> None:
        """In a process of its own, where what is built is saved."""
        plan = self.plan
        options = {"tokens": str(self.tokens), "corpus": str(plan.corpus), "size": plan.size}
        if not row.facts["saved"]:
            child.ask("build", folder=self.index(row.name), **options)
            return
        with self.start(row.name) as builder:
            builder.ask("load")
            row.disk_mb = builder.ask("build", folder=self.index(row.name), **options)

    def variant(self, row: Row, child: Child, workload: Workload) -> str:
        """The fastest way to ask an engine for a workload."""
        if row.facts["limit"]:
            return str(row.facts["variants"][0])
        return str(child.ask("trial", workload=workload.queries, k=self.plan.at_most(workload.k)))

    def check(self, row: Row, child: Child) -> None:
        """Compares some rankings with the exact ones."""
        self.answers(child, row.name)
        for kind in ("whole", "short"):
            exact, own = (Answers.read(self.saved(n, kind)) for n in ("exact", row.name))
            row.agreement[kind] = compare(exact, own)

    def passes(self, *, slow: bool) -> None:
        """All workloads, engine after engine, one call a query; the first round warms up."""
        rows = [row for row in self.rows() if bool(row.facts["limit"]) == slow]
        for workload in WORKLOADS:
            if slow and workload.k != EXACT_DEPTH:
                continue  # It sorts all scores either way.
            for _ in range(1 if slow else 1 + self.plan.repeats):
                for row in rows:
                    options = {"variant": row.variants[str(workload)], **self.asking(workload)}
                    self.time(row, str(workload), self.live[row.name], options)
        if not slow:
            _drop_warm_up(rows, map(str, WORKLOADS))

    def batches(self, stack: ExitStack) -> None:
        """All queries of the batch in one call, on one thread and on two."""
        rows = [row for row in self.rows() if row.facts["batches"]]
        options = self.asking(Workload("batch", EXACT_DEPTH))
        for row in rows:
            if row.name == "ours":
                with _recorded(row):
                    row.differing = self.live["ours"].ask("differing", **options)
        two = {row.name: self.two_threads(row, stack) for row in rows}
        for _ in range(1 + self.plan.repeats):
            for row in rows:
                self.time(row, "batch", self.live[row.name], options)
                self.time(row, "batch2", two[row.name], options)
        _drop_warm_up(rows, ("batch", "batch2"))

    def two_threads(self, row: Row, stack: ExitStack) -> Child:
        """The same index opened by another process that may use two threads."""
        child = stack.enter_context(self.start(row.name, threads=2))
        with _recorded(row):
            child.ask("load")
            child.ask("open", folder=self.index(row.name), threads=2)
            self.prepare(child, "batch", row.facts["variants"])
        return child

    def memory(self) -> None:
        """Peak memory of fresh processes that answer all whole-note queries."""
        for row in self.rows():
            if row.facts["saved"]:
                for label, mmap in (("", False), ("mmap", True)):
                    if not mmap or row.name == "bm25s":
                        with _recorded(row), self.start(row.name) as child:
                            row.peak_mb[label] = self.peak(row, child, mmap=mmap)

    def peak(self, row: Row, child: Child, *, mmap: bool) -> float:
        """Peak memory of one process."""
        child.ask("load")
        child.ask("open", folder=self.index(row.name), mmap=mmap)
        workload = WORKLOADS[0]
        variant = row.variants[str(workload)]
        self.prepare(child, workload.queries, [variant])
        child.ask("one_by_one", variant=variant, **self.asking(workload))
        return float(child.ask("peak"))

    def final_bandwidth(self) -> None:
        """Once more, should the machine have been busy at the beginning."""
        with self.start("exact") as child:
            self.result.bandwidth = max(self.result.bandwidth, child.ask("bandwidth"))

    def time(self, row: Row, key: str, child: Child, options: dict[str, Any]) -> None:
        """One timed pass of one engine, if it still lives."""
        if row.error:
            return
        command = "batch" if key.startswith("batch") else "one_by_one"
        with _recorded(row):
            spent = child.ask(command, **options)
            row.asked[key] = spent["queries"]
            row.seconds.setdefault(key, []).append(spent["seconds"])

    def prepare(self, child: Child, kind: str, variants: list[str]) -> dict[str, float]:
        """Has a child read and prepare the queries of one kind."""
        options = {"count": self.result.asked[kind], "variants": list(variants)}
        path = str(self.queries(kind))
        spent: dict[str, float] = child.ask("prepare", workload=kind, path=path, **options)
        return spent

    def answers(self, child: Child, name: str) -> None:
        """Has a child save rankings."""
        k = self.plan.at_most(EXACT_DEPTH)
        for kind in ("whole", "short"):
            into = str(self.saved(name, kind))
            child.ask("answers", workload=kind, count=CHECKED_QUERIES, k=k, into=into)

    def asking(self, workload: Workload) -> dict[str, Any]:
        """A workload as a child is asked for it."""
        return {"workload": workload.queries, "k": self.plan.at_most(workload.k)}

    def rows(self) -> list[Row]:
        """Engines that have not failed."""
        return [row for row in self.result.rows if not row.error]

    def index(self, name: str) -> str:
        return str(self.folder / f"index-{name}")

    def queries(self, kind: str) -> Path:
        return self.folder / f"{kind}.jsonl"

    def saved(self, name: str, kind: str) -> Path:
        return self.folder / f"answers-{name}-{kind}.npz"


def measure(plan: Plan, stop_words: str) -> Analysis:
    """Runs one analysis from the tokens to the peak memory."""
    bench = Rounds(plan, stop_words)
    bench.reference()
    with ExitStack() as stack:
        for name in plan.engines:
            bench.ready(name, stack)
        bench.passes(slow=False)
        bench.batches(stack)
        bench.passes(slow=True)
    bench.memory()
    bench.final_bandwidth()
    return bench.result


def _sources(plan: Plan) -> dict[str, Path]:
    whole, short = plan.corpus.parent / "queries.jsonl", plan.corpus.parent / "short_queries.jsonl"
    return {"whole": whole, "short": short, "batch": whole}


def _drop_warm_up(rows: Iterable[Row], keys: Iterable[str]) -> None:
    for key in keys:
        for row in rows:
            del row.seconds.get(key, [])[:1]


@contextmanager
def _recorded(row: Row) -> Iterator[None]:
    """Notes why an engine cannot go on; the others do."""
    try:
        yield
    except EngineError as error:
        row.error = str(error)
