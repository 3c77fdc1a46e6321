"""Fine-tuning of a small causal model on plain text, repeatable, on few cores.

Weights and optimiser in float32, products in bfloat16 where the processor has them.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

FALLBACK = 0.9995  # |cos| above which SLERP is linear (mergekit 0.1.5)


@dataclass(frozen=True)
class Training:
    """How a sibling is trained; with equal fields and threads it gets equal weights.

    `length` in tokens a row, `batch` in rows a step; the rate climbs over the first tenth of the
    steps, then falls linearly to a tenth. Matrices of the layers are trained by Muon, the rest is
    left as it is: orthogonal updates turn a matrix far, in all directions alike, where those of
    Adam that turn it as far spoil what the model knew. Without `half` AdamW trains them, for CPUs
    that multiply bfloat16 slowly; its rate is a tenth or less of Muon's.
    """

    steps: int = 80
    batch: int = 4
    length: int = 256
    rate: float = 2e-3
    clip: float = 1.0
    seed: int = 0
    threads: int = 1
    half: bool = True


class Progress(NamedTuple):
    """Where a training stands: mean loss in nats a token since the last time, share of parameters
    that are off the fallback."""

    step: int
    loss: float
    moved: float


Told = Callable[[Progress], None]


def train(model: Any, rows: Sequence[Sequence[int]], how: Training, on_progress: Told) -> None:
    """Trains the layers of a model in place; calls `on_progress` every twentieth of the way."""
    import torch

    torch.manual_seed(how.seed)
    torch.set_num_threads(how.threads)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model.requires_grad_(requires_grad=False)
    matrices = [
        parameter
        for name, parameter in model.named_parameters()
        if ".layers." in name and parameter.ndim == 2
    ]
    for parameter in matrices:
        parameter.requires_grad_()
    optimiser = _optimiser(matrices, how)
    model.train()
    losses: list[float] = []
    for step, batch in enumerate(_batches(rows, how), start=1):
        for group in optimiser.param_groups:
            group["lr"] = how.rate * _share_of_rate(step, how.steps)
        loss = _loss(model, torch.tensor(batch), half=how.half)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(matrices, how.clip)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        if step % max(1, how.steps // 20) == 0 or step == how.steps:
            on_progress(Progress(step, sum(losses) / len(losses), share_off_fallback(start, model)))
            losses.clear()
    model.eval()


def _optimiser(matrices: Sequence[Any], how: Training) -> Any:
    """Muon, or AdamW in float32: Muon always multiplies in bfloat16."""
    import torch

    if how.half:
        return torch.optim.Muon(
            matrices, lr=how.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
    return torch.optim.AdamW(matrices, lr=how.rate, weight_decay=0.0)


def _batches(rows: Sequence[Sequence[int]], how: Training) -> Iterator[list[Sequence[int]]]:
    """Batches of rows in random order, and in a new one when all were seen."""
    source = random.Random(how.seed)
    waiting: list[int] = []
    for _ in range(how.steps):
        batch: list[Sequence[int]] = []
        while len(batch) < how.batch:
            waiting = waiting or source.sample(range(len(rows)), len(rows))
            batch.append(rows[waiting.pop()])
        yield batch


def _share_of_rate(step: int, steps: int) -> float:
    warm = max(1, steps // 10)
    if step <= warm:
        return step / warm
    return 1 - 0.9 * (step - warm) / max(1, steps - warm)


def _loss(model: Any, tokens: Any, *, half: bool) -> Any:
    import torch

    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


def cosines(start: dict[str, Any], model: Any) -> dict[str, float]:
    """The cosine of every tensor with what it was, in float64."""
    by_name = {}
    for name, now in model.named_parameters():
        a, b = start[name].detach().double().flatten(), now.detach().double().flatten()
        by_name[name] = float((a @ b / (a.norm() * b.norm())).detach())
    return by_name


def share_off_fallback(start: dict[str, Any], model: Any) -> float:
    """The share of parameters in tensors whose |cos| lets SLERP differ from linear."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    off = [name for name, cos in cosines(start, model).items() if abs(cos) <= FALLBACK]
    return float(sum(sizes[name] for name in off) / sum(sizes.values()))
