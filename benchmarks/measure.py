"""What the benchmarks measure beside time: peak memory, memory bandwidth, disk use, the machine."""

import os
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

MEBI = 1 << 20


def peak_mb() -> float:
    """Peak resident memory of this process in MiB.

    VmHWM where there is one: ru_maxrss survives exec, so a child would inherit its parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEBI if sys.platform == "darwin" else 1024)


def disk_mb(folder: Path) -> float:
    """Size of all files of a folder in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEBI


def bandwidth(rounds: int = 7) -> float:
    """Bytes a second that one core reads in sequence: the best of several ways and rounds."""
    import numpy as np

    array = np.ones(100_000_000, dtype=np.float32)
    whole = array.view(np.int64)
    readers: tuple[Callable[[], object], ...] = (
        array.sum,
        lambda: np.add.reduce(whole),
        lambda: np.dot(array, array),
    )
    return max(array.nbytes / seconds(read) for _ in range(rounds) for read in readers)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = perf_counter()
    work()
    return perf_counter() - start


def machine() -> str:
    """CPU model, cores and memory in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = os.getloadavg()[0]
    return (
        f"{_cpu()}, {cores} cores, {memory:.0f} GiB; {platform.system()}, "
        f"Python {platform.python_version()}; load average {load:.1f} at the end"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
