"""One merge in a process of its own; prints what it measured as one line of JSON.

    python benchmarks/merge_child.py floor|ours|mergekit A B OUT METHOD T
    python benchmarks/merge_child.py ours-memory|mergekit-memory A B - METHOD T,T,...

On disk, the seconds are those after imports, to when every file of OUT is synced. The parent takes
the time of the whole process, and its anonymous memory.
"""

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

PIECE = 8 << 20
BASE, OTHER, OUT, METHOD = sys.argv[2:6]
TS = [float(t) for t in sys.argv[6].split(",")]


def floor() -> dict[str, Any]:
    """Reads both models, then writes one of them: no arithmetic, nothing at the same time.

    What is written is synced as it grows, by a thread of its own, which is the fastest that disks
    take it.
    """
    import numpy as np

    room = np.empty(PIECE, np.uint8)
    files = sorted(Path(BASE).glob("*.safetensors"))
    begun = perf_counter()
    for file in (*files, *sorted(Path(OTHER).glob("*.safetensors"))):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(room.data):
                pass
    read = perf_counter() - begun
    Path(OUT).mkdir()
    begun = perf_counter()
    with ThreadPoolExecutor(1) as syncer:
        for file in files:
            write_synced(Path(OUT) / file.name, file.stat().st_size, room.data, syncer)
    write = perf_counter() - begun
    return {"seconds": read + write, "read": read, "write": write}


def write_synced(path: Path, size: int, piece: memoryview, syncer: Executor) -> None:
    """Writes a file of so many bytes, the same piece again and again."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.posix_fallocate(handle, 0, size)
    syncing = []
    for n, at in enumerate(range(0, size, PIECE), 1):
        os.pwrite(handle, piece[: size - at], at)
        if n % 8 == 0:
            syncing.append(syncer.submit(os.fdatasync, handle))
    for each in syncing:
        each.result()
    os.fsync(handle)
    os.close(handle)


def ours() -> dict[str, Any]:
    import merge_models

    from merger.engines.stream import write_merge

    begun = perf_counter()
    about = (Path(BASE) / "config.json").read_bytes()
    write_merge(
        merge_models.plan(Path(BASE), Path(OTHER), METHOD, TS[0]), OUT, {"config.json": about}
    )
    return {"seconds": perf_counter() - begun}


def mergekit() -> dict[str, Any]:
    """What the command `mergekit-yaml` does, and the syncing that it leaves to chance."""
    from mergekit.scripts.run_yaml import main

    recipe: dict[str, Any] = {"merge_method": METHOD, "dtype": "bfloat16"}
    models: list[dict[str, Any]] = [{"model": BASE}, {"model": OTHER}]
    if METHOD == "slerp":
        recipe |= {"base_model": BASE, "parameters": {"t": TS[0]}}
    elif METHOD == "task_arithmetic":
        recipe |= {"base_model": BASE}
        models = [{"model": OTHER, "parameters": {"weight": TS[0]}}]
    else:
        for model, weight in zip(models, (1 - TS[0], TS[0]), strict=True):
            model["parameters"] = {"weight": weight}
    path = Path(f"{OUT}.yml")
    path.write_text(json.dumps(recipe | {"models": models}), encoding="utf-8")
    begun = perf_counter()
    options = ["--no-copy-tokenizer", "--quiet", "--no-cuda"]
    main([str(path), OUT, *options], standalone_mode=False)
    for file in Path(OUT).iterdir():
        handle = os.open(file, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    return {"seconds": perf_counter() - begun}


def ours_memory() -> dict[str, Any]:
    """The sums once, then every t into one output in place, as a live model's weights are."""
    import merge_models
    import numpy as np

    from merger.checkpoints.values import Values
    from merger.live.host_weights import HostWeights, mix_many
    from merger.live.live_tensors import measure_pairs, open_live_tensors
    from merger.live.points import resolve_point
    from merger.methods.registry import compute_sum

    some = list(open_live_tensors(merge_models.plan(Path(BASE), Path(OTHER), METHOD, TS[0])))
    for blend in some:  # reads the inputs
        for values in blend.inputs:
            int(np.add.reduce(values.data[::4096], dtype=np.int64))
    live = {blend.task.name: Values.empty(blend.size, "BF16") for blend in some}
    for out in live.values():
        out.data[:] = 0
    with ThreadPoolExecutor(_cores()) as pool:
        begun = perf_counter()
        pairs = measure_pairs(some, pool)
        host = HostWeights(live, some, pool)
        once = perf_counter() - begun
        rows = [
            {name: compute_sum(resolve_point(t, METHOD, 2, 0), pairs[name]) for name in live}
            for t in TS
        ]
        spent = [_seconds(lambda row=row: host.write(row)) for row in rows]  # type: ignore[misc]

        def sweep() -> None:
            for blend in some:
                mix_many(blend, [row[blend.task.name] for row in rows], pool)

        together = _seconds(sweep)
    return {"once": once, "each": spent, "together": together / len(TS)}


def _seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


def mergekit_memory() -> dict[str, Any]:
    import torch
    from mergekit.merge_methods import merge_state_dicts
    from safetensors.torch import load_file

    torch.set_num_threads(_cores())
    sides = []
    for folder in (BASE, OTHER):
        state: dict[str, Any] = {}
        for file in sorted(Path(folder).glob("*.safetensors")):
            state.update({name: tensor.clone() for name, tensor in load_file(file).items()})
        sides.append(state)
    spent = []
    with torch.no_grad():
        for t in TS:
            parameters, base = {
                "slerp": ({"t": t}, 0),
                "linear": ({"weight": [1 - t, t]}, None),
                "task_arithmetic": ({"weight": t}, 0),
            }[METHOD]
            begun = perf_counter()
            merge_state_dicts(sides, METHOD, parameters=parameters, base=base)
            spent.append(perf_counter() - begun)
    return {"once": 0.0, "each": spent}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


WORK: dict[str, Callable[[], dict[str, Any]]] = {
    "floor": floor,
    "ours": ours,
    "mergekit": mergekit,
    "ours-memory": ours_memory,
    "mergekit-memory": mergekit_memory,
}

if __name__ == "__main__":
    print(json.dumps(WORK[sys.argv[1]]()), flush=True)
