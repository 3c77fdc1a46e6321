"""Real siblings to merge: a small language model, one that learned maths, one that read reports.

    python cli.py model get smollm2
    THP_MEM_ALLOC_ENABLE=1 python benchmarks/siblings.py --into /work/keep/siblings

`instruct` is SmolLM2-135M-Instruct, dequantised, `math` was fine-tuned on GSM8K, `medical` on the
reports of E3C (the matrices of all layers, seeded; with the same options, threads and packages
the weights are the same). Each is judged on held-out text of both subjects; siblings.json tells
the perplexities, how many parameters leave SLERP's linear fallback for every pair, and the
command. Siblings that are there already are not trained again.
"""

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sibling_texts import SHARED, SUBJECTS, chosen, packed, shortened, texts
from sibling_training import FALLBACK, Progress, Training, cosines, train

from patientdx.fetching.model_cache import locate_model
from patientdx.models.torch.model import HfModel
from patientdx.protocols import Scorer
from patientdx.storage.atomic import atomic_writer

NAMES = ("instruct", *SUBJECTS)
INTO = Path("/work/keep/siblings")


@dataclass(frozen=True)
class Plan:
    """What is made, where, and how it is judged: `texts` held-out texts of at most `tokens`."""

    into: Path
    source: str = "smollm2"
    cache: Path = Path.home() / ".cache" / "patientdx"
    data: Path = SHARED
    texts: int = 100
    tokens: int = 256
    training: Training = field(default_factory=Training)


def make(plan: Plan, subject: str) -> None:
    """Trains a sibling from `instruct` and saves it in bfloat16."""
    folder = plan.into / subject
    how = plan.training
    record = {"subject": subject, **asdict(how)}
    if _recorded(folder, record):
        return
    model, tokenizer = opened(plan.into / "instruct")
    known = texts(subject, plan.data).train
    rows = packed(chosen(known, how.steps * how.batch * 3, how.seed), tokenizer, how.length)
    began, log = time.monotonic(), []

    def report(now: Progress) -> None:
        log.append({**now._asdict(), "seconds": round(time.monotonic() - began, 1)})
        print(f"{subject}: {log[-1]}", file=sys.stderr, flush=True)

    train(model, rows, how, report)
    record |= {"log": log, "cpu_seconds": round(time.process_time(), 1)}
    save(folder, model, tokenizer, record)


def make_instruct(plan: Plan) -> None:
    """The dequantised model as a clean folder; transformers refuses to save it as it loads it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = plan.into / "instruct"
    if _recorded(folder, {"source": plan.source}):
        return
    path = locate_model(plan.source, plan.cache)
    options: dict[str, Any] = {"gguf_file": path.name} if path.is_file() else {}
    place = path.parent if path.is_file() else path
    loaded = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
    config = loaded.config.to_dict()
    settings = {
        key: config[key] for key in config if key not in {"quantization_config", "_name_or_path"}
    }
    clean = type(loaded)(type(loaded.config)(**settings)).to(torch.bfloat16)
    clean.load_state_dict({k: v.to(torch.bfloat16) for k, v in loaded.state_dict().items()})
    clean.generation_config = loaded.generation_config
    save(folder, clean, AutoTokenizer.from_pretrained(place, **options), {"source": plan.source})


def opened(folder: Path, dtype: str = "float32") -> tuple[Any, Any]:
    """A model and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model, AutoTokenizer.from_pretrained(folder)


def save(folder: Path, model: Any, tokenizer: Any, record: Mapping[str, object]) -> None:
    """A bfloat16 folder; its record comes last, so that what has one is whole."""
    import torch

    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write(folder / "sibling.json", record)


def _recorded(folder: Path, wanted: Mapping[str, object]) -> bool:
    """Whether a folder holds a whole sibling; one made in another way is not overwritten."""
    path = folder / "sibling.json"
    if not path.exists():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    if {key: record.get(key) for key in wanted} != dict(wanted):
        sys.exit(f"{folder} was made with other options: remove it, or choose another --into")
    return True


def _write(path: Path, record: object) -> None:
    with atomic_writer(path) as stream:
        json.dump(record, stream, indent=1, default=str)


def perplexity(scorer: Scorer, some: list[str]) -> float:
    """exp of the mean negative log-probability a token, over all tokens of all texts."""
    values = [value for row in scorer.logprobs([("", text) for text in some]) for value in row]
    return math.exp(-sum(values) / len(values))


def judged_on(plan: Plan, tokenizer: Any) -> dict[str, list[str]]:
    """The held-out texts of both subjects."""
    return {
        subject: shortened(
            chosen(texts(subject, plan.data).held_out, plan.texts, 0), tokenizer, plan.tokens
        )
        for subject in SUBJECTS
    }


def figures(plan: Plan) -> dict[str, object]:
    """Perplexities of all three, in the bfloat16 they are saved in, on both subjects; shares off
    the fallback of all pairs."""
    models: dict[str, Any] = {}
    perplexities: dict[str, dict[str, float]] = {}
    for name in NAMES:
        models[name], tokenizer = opened(plan.into / name, "bfloat16")
        scorer = HfModel.wrap(models[name], tokenizer, digest=name)
        held_out = judged_on(plan, tokenizer)
        perplexities[name] = {kind: perplexity(scorer, some) for kind, some in held_out.items()}
        print(f"{name}: {perplexities[name]}", file=sys.stderr, flush=True)
    pairs = {f"{a}-{b}": pair(models[a], models[b]) for a, b in combinations(NAMES, 2)}
    return {"perplexity": perplexities, "pairs": pairs}


def pair(first: Any, second: Any) -> dict[str, object]:
    """How far apart two siblings are."""
    start = dict(first.named_parameters())
    sizes = {name: tensor.numel() for name, tensor in start.items()}
    cosine_by_name = cosines(start, second)
    off = [name for name, cos in cosine_by_name.items() if abs(cos) <= FALLBACK]
    return {
        "share_off_fallback": sum(sizes[name] for name in off) / sum(sizes.values()),
        "tensors_off_fallback": f"{len(off)} of {len(cosine_by_name)}",
        "cosines": cosine_by_name,
    }


def options(arguments: list[str] | None = None) -> tuple[Plan, list[str], bool]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, default=INTO)
    parser.add_argument("--source", default=Plan.source, help="a known model, GGUF file or folder")
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--only", choices=SUBJECTS, help="train one sibling, judge none")
    parser.add_argument("--texts", type=int, default=Plan.texts, help="held-out texts a subject")
    for flag in ("--steps", "--batch", "--length", "--seed", "--threads"):
        parser.add_argument(flag, type=int, default=getattr(Training, flag.removeprefix("--")))
    parser.add_argument("--rate", type=float, default=Training.rate)
    parser.add_argument(
        "--float32",
        action="store_true",
        help="AdamW in float32 (with --rate 1e-4), for CPUs that multiply bfloat16 slowly",
    )
    args = parser.parse_args(arguments)
    numbers = {"seed": args.seed, "threads": args.threads, "half": not args.float32}
    training = Training(args.steps, args.batch, args.length, args.rate, **numbers)
    plan = Plan(args.into, args.source, data=args.data, texts=args.texts, training=training)
    return plan, [args.only] if args.only else list(SUBJECTS), not args.only


def main() -> None:
    plan, subjects, judge = options()
    make_instruct(plan)
    for subject in subjects:
        make(plan, subject)
    if judge:
        packages = {name: version(name) for name in ("torch", "transformers")}
        command = shlex.join(["python", *sys.argv])
        about = {"command": command, "plan": asdict(plan), "packages": packages}
        _write(plan.into / "siblings.json", {**about, **figures(plan)})


if __name__ == "__main__":
    main()
