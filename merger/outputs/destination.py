"""Checks of the folder that a merge is written into, before any work is done."""

import shutil
from pathlib import Path

from patientdx.errors import InputError, PatientDxError

from .staging import check_unused, reclaimable_bytes

_RESERVE = 64 << 20  # bytes for the files beside the weights: tokenizer, headers


def check_destination(into: Path, nbytes: int = 0) -> None:
    """Raises PatientDxError unless a new folder `into` with `nbytes` of weights can be made."""
    check_unused(into)
    parent = into.absolute().parent
    if not parent.is_dir():
        raise InputError(f"{parent}: there is no such folder", hint="make it first")
    free = shutil.disk_usage(parent).free + reclaimable_bytes(into.absolute())
    needed = nbytes + _RESERVE
    if free < needed:
        raise PatientDxError(
            f"the disk that holds {parent} has {free / 1e9:.2f} GB free, and the merge needs "
            f"{needed / 1e9:.2f} GB",
            hint="free some space or choose another place with --into",
        )
