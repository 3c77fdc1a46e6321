"""Prompts a second: our batching against `model.generate` one by one and `pipeline(batch_size=…)`.

python benchmarks/expand.py --prompts 48 --batches 4,8,16     # needs ../shared/data, extra hf

The same weights, prompts and greedy decoding for all; texts are compared before speeds are printed.
CPU seconds are printed beside the clock's: on a shared machine they are what can be compared.
"""

import argparse
import gzip
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from patientdx.models import ModelSettings, locate_model
from patientdx.models.torch.model import HfModel
from patientdx.protocols import GenerationSettings, Prompt
from patientdx.settings import settings_from_environment

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("phenopackets", "pmc_plus_e3c")
ASK = "List the most important medical keywords of this note: "


class Timed(NamedTuple):
    """A way to run the prompts: seconds by the clock and of the CPU, and what it wrote."""

    name: str
    seconds: float
    cpu: float
    replies: list[str]


def prompts(count: int, seed: int) -> list[Prompt]:
    """Notes of both sets, from a dozen words to hundreds."""
    notes = []
    for name in SETS:
        with gzip.open(SHARED / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            notes += random.Random(seed).sample([json.loads(line)["text"] for line in lines], count)
    random.Random(seed).shuffle(notes)
    return [Prompt(ASK, note, "\nKeywords:") for note in notes[:count]]


def timed(name: str, run: Callable[[], list[str]]) -> Timed:
    clock, cpu = time.perf_counter(), time.process_time()
    replies = run()
    return Timed(name, time.perf_counter() - clock, time.process_time() - cpu, replies)


def one_by_one(model: HfModel, inputs: list[list[int]], new: int) -> list[str]:
    import torch

    replies = []
    for tokens in inputs:
        ids = torch.tensor([tokens], device=model.module.device)
        out = model.module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=sorted(model.ends),
            pad_token_id=0,
        )
        replies.append(model.tokenizer.decode(out[0, ids.shape[1] :].tolist()))
    return replies


def by_pipeline(model: HfModel, inputs: list[list[int]], new: int, batch: int) -> list[str]:
    from transformers import pipeline

    tokenizer = model.tokenizer.tokenizer
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    writer = pipeline("text-generation", model=model.module, tokenizer=tokenizer)
    outputs: Iterator[Any] = writer(
        [tokenizer.decode(tokens) for tokens in inputs],
        batch_size=batch,
        return_full_text=False,
        max_new_tokens=new,
        do_sample=False,
        eos_token_id=sorted(model.ends),
        add_special_tokens=False,
    )
    return [output[0]["generated_text"] for output in outputs]


def ways(model: HfModel, args: argparse.Namespace) -> Iterator[Timed]:
    inputs = prompts(args.prompts, args.seed)
    tokens = [model.tokenizer.encode_prompt(prompt, args.new)[0] for prompt in inputs]
    settings = GenerationSettings(max_new_tokens=args.new)
    model.generate(inputs[:1], settings)  # warms up

    def ours() -> list[str]:
        return [completion.text for completion in model.generate(inputs, settings)]

    yield timed(f"ours, batch {model.batch}", ours)
    yield timed("`model.generate`, one by one", lambda: one_by_one(model, tokens, args.new))
    for batch in args.batches:
        run = partial(by_pipeline, model, tokens, args.new, batch)
        yield timed(f"`pipeline`, batch {batch}", run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--new", type=int, default=64, help="new tokens a prompt, at most")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument(
        "--batches", type=lambda text: [int(size) for size in text.split(",")], default=[4, 8, 16]
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    settings = ModelSettings(dtype=args.dtype, batch=args.batch, threads=args.threads, context=2048)
    cache = settings_from_environment(os.environ, Path.home()).cache
    model = HfModel.load(locate_model(args.model, cache), settings)
    rows = list(ways(model, args))
    print("| way | s | CPU s | prompts/s | tokens/s | ours is faster by | by CPU | equal texts |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    ours = rows[0]
    for row in rows:
        written = sum(len(model.tokenizer.encode(reply, start=False)) for reply in row.replies)
        same = sum(
            reply == our_reply for reply, our_reply in zip(row.replies, ours.replies, strict=True)
        )
        print(
            f"| {row.name} | {row.seconds:.1f} | {row.cpu:.1f} "
            f"| {len(row.replies) / row.seconds:.2f} | {written / row.seconds:.1f} "
            f"| {row.seconds / ours.seconds:.2f}x | {row.cpu / ours.cpu:.2f}x "
            f"| {same} of {len(row.replies)} |"
        )


if __name__ == "__main__":
    main()
