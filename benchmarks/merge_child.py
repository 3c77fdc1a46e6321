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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

PIECE = 8 << 20
BASE, OTHER, OUT, METHOD = sys.argv[2:6]
TS = [float(t) for t in sys.argv[6].split(",")]


def floor() -> dict[str, Any]:
    """Reads both models, then writes one of them: no arithmetic, nothing at the same time."""
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
    room[:] = 1
    begun = perf_counter()
    for file in files:
        size = file.stat().st_size
        handle = os.open(Path(OUT) / file.name, os.O_RDWR | os.O_CREAT, 0o644)
        os.posix_fallocate(handle, 0, size)
        for at in range(0, size, PIECE):
            os.pwrite(handle, room[: size - at].data, at)
        os.fsync(handle)
        os.close(handle)
    write = perf_counter() - begun
    return {"seconds": read + write, "read": read, "write": write}


def ours() -> dict[str, Any]:
    import merge_models

    from merger.stream import write_merge

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
    """Both models and one output in memory: the sums once, then every t in one pass."""
    from merger.checkpoint import Checkpoint
    from merger.kernels import combine, moments, slerp_weights
    from merger.values import Values

    sides = []
    for folder in (BASE, OTHER):
        opened = Checkpoint.open(folder)
        sides.append(
            {name: Values(opened.values(name).data.copy(), "BF16") for name in opened.tensors}
        )
    outs = {name: Values.empty(values.size, "BF16") for name, values in sides[0].items()}
    for out in outs.values():
        out.data[:] = 0
    pairs = [(sides[0][name], sides[1][name], outs[name]) for name in outs]
    with ThreadPoolExecutor(_cores()) as pool:
        begun = perf_counter()
        cosines = [moments(a, b, pool=pool).cosine for a, b, _ in pairs]
        once = perf_counter() - begun
        spent = []
        for t in TS:
            begun = perf_counter()
            for (a, b, out), cosine in zip(pairs, cosines, strict=True):
                combine([a, b], slerp_weights(t, cosine), out, pool=pool)
            spent.append(perf_counter() - begun)
    return {"once": once, "each": spent}


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
            begun = perf_counter()
            merge_state_dicts(sides, "slerp", parameters={"t": t}, base=0)
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
