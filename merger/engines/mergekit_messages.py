"""What MergeKit and its libraries say while they run: collected, and kept off the terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

_LOGGER = "mergekit"
_NO_TOKENIZER = "Unable to load tokenizer for"


class Messages(logging.Handler):
    """The warnings and errors that MergeKit logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Adds a message."""
        self.texts.append(record.getMessage())

    def check(self) -> None:
        """Raises ValueError if MergeKit took one model's tokenizer for that of another."""
        for text in self.texts:
            if text.startswith(_NO_TOKENIZER):
                raise ValueError(text.partition(". ")[0])


@contextmanager
def quiet_mergekit() -> Iterator[Messages]:
    """Keep log messages, warnings and progress bars off the terminal; MergeKit's are collected."""
    root, logger = logging.getLogger(), logging.getLogger(_LOGGER)
    silent = logging.NullHandler()  # without a handler, the first message installs a printing one
    messages = Messages()
    root.addHandler(silent)
    logger.addHandler(messages)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _quiet_transformers(), _quiet_progress():
                yield messages
    finally:
        root.removeHandler(silent)
        logger.removeHandler(messages)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep warnings and progress bars of transformers, which has a handler of its own, away."""
    from transformers.utils import logging as transformers_logging

    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _quiet_progress() -> Iterator[None]:
    """Disable the bar of MergeKit that does not listen to its option `quiet`."""
    import tqdm
    from mergekit.tokenizer import build

    module = build.tqdm
    build.tqdm = SimpleNamespace(tqdm=partial(tqdm.tqdm, disable=True))
    try:
        yield
    finally:
        build.tqdm = module
