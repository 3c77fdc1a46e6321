"""Libraries that would otherwise ask a hub, write into the home folder, or draw progress bars."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any

_OFFLINE = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_HUB_OFFLINE"),
    ("datasets.config", "HF_DATASETS_OFFLINE"),
    ("evaluate.config", "HF_EVALUATE_OFFLINE"),
)


@contextmanager
def quiet_and_offline(cache: str | None = None) -> Iterator[None]:
    """lm-evaluation-harness without a network, progress bars or warnings.

    `cache` is the folder into which datasets are converted.
    """
    from datasets.utils import logging as dataset_bars
    from tqdm import tqdm

    logger = logging.getLogger("lm_eval")
    with ExitStack() as stack:
        for module, name in _OFFLINE:
            stack.enter_context(_replaced(module, name, value=True))
        if cache is not None:
            stack.enter_context(_replaced("datasets.config", "HF_DATASETS_CACHE", value=cache))
        silent = partial(tqdm, disable=True)
        stack.enter_context(_replaced("lm_eval.api.task", "tqdm", value=silent))
        if dataset_bars.is_progress_bar_enabled():
            dataset_bars.disable_progress_bar()
            stack.callback(dataset_bars.enable_progress_bar)
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
        yield


@contextmanager
def _replaced(module: str, name: str, *, value: Any) -> Iterator[None]:
    """A module whose attribute has another value; attributes that it lacks are left out."""
    loaded = import_module(module)
    if not hasattr(loaded, name):
        yield
        return
    before = getattr(loaded, name)
    setattr(loaded, name, value)
    try:
        yield
    finally:
        setattr(loaded, name, before)
