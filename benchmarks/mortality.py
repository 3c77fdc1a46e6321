"""Patients a second: ours against lm-evaluation-harness, the same yes/no task, model and records.

python benchmarks/mortality.py cohort.parquet --model smollm2 --stays 48 --batches 1,4,8,16

Needs the extras hf and mortality, and `lm_eval` in the same environment (pip install lm_eval;
an environment of its own, because it brings much along). Log-probabilities of " yes" and " no"
are compared before speeds are printed. CPU seconds stand beside the clock's: on a shared machine
they are what can be compared. "Outside the body" is the share of time that is not spent inside
the forward passes of the model's body (embedding and layers; the head is outside).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluator.cohorts import SECTIONS, read_cohort, read_templates, render_stay
from evaluator.mortality.question import PAPER_QUESTION
from patientdx.models import ModelSettings, locate_model
from patientdx.models.torch.model import HfModel
from patientdx.protocols import Prompt
from patientdx.settings import settings_from_environment

YES_NO = ((" yes",), (" no",))
Pairs = list[tuple[float, ...]]


class Timed(NamedTuple):
    """A way to ask: clock and CPU seconds, those inside the body, and its log-probabilities."""

    name: str
    seconds: float
    cpu: float
    body: float
    pairs: Pairs


def prompts(cohort: Path, stays: int) -> list[Prompt]:
    words = read_templates()
    records = (render_stay(stay, SECTIONS, templates=words) for stay in read_cohort(cohort))
    return [
        PAPER_QUESTION.prompt([part.text for part in record]) for record in islice(records, stays)
    ]


@contextmanager
def inside(module: Any) -> Iterator[list[float]]:
    """Adds up CPU seconds of the body's forward passes (the clock's on a GPU)."""
    on_gpu = str(module.device).startswith("cuda")
    spent, started = [0.0], [0.0]

    def now() -> float:
        if not on_gpu:
            return time.process_time()
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    def before(*_: Any) -> None:
        started[0] = now()

    def after(*_: Any) -> None:
        spent[0] += now() - started[0]

    body = module.base_model
    handles = [body.register_forward_pre_hook(before), body.register_forward_hook(after)]
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()


def timed(name: str, module: Any, run: Callable[[], Pairs]) -> Timed:
    with inside(module) as body:
        clock, cpu = time.perf_counter(), time.process_time()
        pairs = run()
        return Timed(name, time.perf_counter() - clock, time.process_time() - cpu, body[0], pairs)


def ours(model: HfModel, inputs: list[Prompt], answers: Any, new: int) -> Pairs:
    choices: dict[int, Any] = {}
    for batch in model.choose(inputs, answers, new):
        choices |= batch
    return [choices[place].logprobs for place in range(len(inputs))]


def theirs(model: HfModel, inputs: list[Prompt], batch: int) -> Pairs:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=model.module,
        tokenizer=model.tokenizer.tokenizer,
        batch_size=batch,
        max_length=model.tokenizer.context,
    )
    requests = [
        Instance("loglikelihood", {}, (prompt.text, form), place)
        for place, prompt in enumerate(inputs)
        for (form,) in YES_NO
    ]
    logprobs = [value for value, _ in harness.loglikelihood(requests, disable_tqdm=True)]
    return list(zip(logprobs[::2], logprobs[1::2], strict=True))


def ways(
    model: HfModel, inputs: list[Prompt], batches: list[int]
) -> dict[str, Callable[[], Pairs]]:
    """Every way to ask, by name; ours first."""
    runs: dict[str, Callable[[], Pairs]] = {
        "ours, yes/no": lambda: ours(model, inputs, YES_NO, 1),
        "ours, all forms and two tokens": lambda: ours(
            model, inputs, PAPER_QUESTION.surface_forms, 2
        ),
    }
    for batch in batches:
        runs[f"lm-eval, batch {batch}"] = lambda batch=batch: theirs(model, inputs, batch)  # type: ignore[misc]
    return runs


def in_turns(
    model: HfModel, some: dict[str, Callable[[], Pairs]], rounds: int
) -> list[list[Timed]]:
    """All ways in turn, so many times, by way."""
    for run in list(some.values())[:1]:
        run()  # warms up
    turns = [[timed(name, model.module, run) for name, run in some.items()] for _ in range(rounds)]
    return [list(each) for each in zip(*turns, strict=True)]


def middle(rows: list[Timed]) -> Timed:
    """The medians of a way."""
    clock, cpu, body = (
        median(getattr(row, of) for row in rows) for of in ("seconds", "cpu", "body")
    )
    return Timed(rows[0].name, clock, cpu, body, rows[0].pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--stays", type=int, default=48)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--batches",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1, 4, 8, 16],
    )
    args = parser.parse_args()
    settings = ModelSettings(
        dtype=args.dtype, threads=args.threads, context=4096, prompt_format="raw"
    )
    cache = settings_from_environment(os.environ, Path.home()).cache
    model = HfModel.load(locate_model(args.model, cache), settings)
    some = ways(model, prompts(args.cohort, args.stays), args.batches)
    rows = [middle(each) for each in in_turns(model, some, args.rounds)]
    first, _, *others = rows
    print("| way | s | CPU s | patients/s | ours is faster by | by CPU | outside the body |"
          " greatest difference |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        on_gpu = str(model.module.device).startswith("cuda")
        outside = 1 - row.body / (row.seconds if on_gpu else row.cpu)
        apart = max(
            abs(our_value - their_value)
            for mine, its in zip(first.pairs, row.pairs, strict=True)
            for our_value, their_value in zip(mine, its, strict=True)
        )
        distance = f"{apart:.1e}" if row in others else "-"
        print(
            f"| {row.name} | {row.seconds:.1f} | {row.cpu:.1f} "
            f"| {args.stays / row.seconds:.2f} | {row.seconds / first.seconds:.2f}x "
            f"| {row.cpu / first.cpu:.2f}x | {outside:.1%} | {distance} |"
        )


if __name__ == "__main__":
    main()
