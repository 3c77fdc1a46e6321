"""The processors of this machine."""

import os


def available_cores() -> int:
    """Number of processor cores that this process may use, at least 1.

    Respects CPU affinity (taskset, cpusets of containers) where the system reports it.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
