"""Writes a model as one GGUF file, part by part: no tensor is ever held whole."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from merger.checkpoints.checkpoint import Checkpoint
from merger.checkpoints.values import Values
from merger.kernels.numpy_kernels import unpack
from patientdx.processors import available_cores
from patientdx.storage.durable import reserve_space, sync_data, write_at

from .mixtures import GgufType
from .native_encoder import NativeEncoder, native_version
from .plan import GgufPlan, Source, plan_gguf
from .tensor_types import Encoder, Floats, TensorType, encode_plain

_PART = 1 << 20  # numbers
_AHEAD = 2  # parts begun per thread

Progress = Callable[[int], None]
"""Gets the number of bytes that are written."""


def choose_encoder(plan: GgufPlan) -> Encoder:
    """What writes the numbers of a plan. Raises PatientDxError where llama.cpp is needed."""
    if not plan.needs_llama_cpp:
        return encode_plain
    native = NativeEncoder.load()

    def encode(rows: Floats, into: TensorType) -> bytes:
        plain = into.block == 1
        return encode_plain(rows, into) if plain else native(rows, into)

    return encode


def encoder_version(plan: GgufPlan) -> str | None:
    """The package that writes the numbers of a plan, with its version; None for our own code."""
    return native_version() if plan.needs_llama_cpp else None


def gguf_file_name(title: str, wanted: GgufType) -> str:
    """The name of the file for a merge with this title."""
    return f"{title}-{wanted}.gguf"


def gguf_nbytes(plan: GgufPlan | None) -> int:
    """The size of the file; 0 without one."""
    return plan.lay_out().size if plan is not None else 0


def write_gguf(
    folder: Path,
    path: Path,
    wanted: GgufType,
    *,
    title: str,
    threads: int = 0,
    progress: Progress = lambda _done: None,
) -> GgufPlan:
    """Writes the model in `folder` into the new file `path`, and syncs it.

    Raises MergeError for models that llama.cpp would not run as transformers does, and
    ExtraMissingError where llama.cpp is needed for `wanted`.
    """
    model = Checkpoint.open(folder)
    plan = plan_gguf(model.config, model.tensors, folder, wanted, title)
    encode = choose_encoder(plan)
    layout = plan.lay_out()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        reserve_space(descriptor, layout.size)
        write_at(descriptor, layout.header, 0)
        parts = (
            part
            for source, offset in zip(plan.sources, layout.offsets, strict=True)
            for part in _parts(source, offset)
        )
        done = 0
        for part in _in_threads(
            lambda part: _write_part(descriptor, model, part, encode),
            parts,
            threads or available_cores(),
        ):
            done += part.nbytes
            progress(done)
            if part.is_last and part.source.tensor:
                model.done_with(part.source.tensor)
        sync_data(descriptor)
    finally:
        os.close(descriptor)
    return plan


class _Part(NamedTuple):
    """Rows `start` to `stop` of a tensor, whose bytes come at `offset` in the file."""

    source: Source
    start: int
    stop: int
    offset: int
    nbytes: int

    @property
    def is_last(self) -> bool:
        """Whether the tensor ends with it."""
        return self.stop == _rows(self.source)


def _parts(source: Source, offset: int) -> Iterator[_Part]:
    entry = source.entry
    count, row = _rows(source), int(np.prod(entry.shape)) // _rows(source)
    step = max(1, _PART // row)
    for start in range(0, count, step):
        stop = min(start + step, count)
        begin, end = entry.type.size(start * row), entry.type.size(stop * row)
        yield _Part(source, start, stop, offset + begin, end - begin)


def _rows(source: Source) -> int:
    """The number of rows; a vector is one row, unless its numbers change places."""
    shape = source.entry.shape
    return shape[0] if len(shape) > 1 or source.rows is not None else 1


def _write_part(descriptor: int, model: Checkpoint, part: _Part, encode: Encoder) -> None:
    data = encode(_numbers(model, part), part.source.entry.type)
    write_at(descriptor, data, part.offset)


def _numbers(model: Checkpoint, part: _Part) -> Floats:
    source = part.source
    if source.numbers is not None:
        return source.numbers.reshape(1, -1)
    values = model.values(source.tensor)
    table = values.data.reshape(_rows(source), -1)
    span = slice(part.start, part.stop)
    chosen = table[span] if source.rows is None else table[source.rows[span]]
    data = np.ascontiguousarray(chosen).reshape(-1)
    numbers = unpack(Values(data, values.dtype)).astype(np.float32, copy=False)
    if source.shift:
        numbers = numbers + np.float32(source.shift)
    return numbers.reshape(part.stop - part.start, -1)


def _in_threads(
    work: Callable[[_Part], None], parts: Iterator[_Part], threads: int
) -> Iterator[_Part]:
    """The parts in order as the work on them ends; only a few are begun at a time."""
    pending: deque[tuple[_Part, Future[None]]] = deque()
    with ThreadPoolExecutor(threads, "gguf") as pool:
        try:
            for part in parts:
                pending.append((part, pool.submit(work, part)))
                if len(pending) > threads * _AHEAD:
                    yield _finish(pending)
            while pending:
                yield _finish(pending)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _finish(pending: "deque[tuple[_Part, Future[None]]]") -> _Part:
    part, future = pending.popleft()
    future.result()
    return part
