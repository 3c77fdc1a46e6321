"""A process that asks a model about 200 prompts and can be killed: `PYTHON this CACHE LOG`.

The model is slow, and writes every prompt to the log before it replies.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from expander.cached_generator import CachedGenerator
from expander.reply_cache import ReplyCache
from patientdx.protocols import GREEDY, Completion, GenerationSettings, ModelDescription, Prompt

PROMPTS = [f"note {number}" for number in range(200)]
BATCH = 8


class LoggingModel:
    """Replies slowly, and logs its prompts."""

    name = "logging"
    digest = "logging"
    batch = BATCH
    description = ModelDescription()

    def __init__(self, log: Path, seconds: float) -> None:
        self._log = log
        self._seconds = seconds

    def generate(
        self,
        prompts: Sequence[str | Prompt],
        settings: GenerationSettings = GREEDY,  # noqa: ARG002
    ) -> list[Completion]:
        with self._log.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{prompt}\n" for prompt in prompts)
            stream.flush()
            os.fsync(stream.fileno())
        time.sleep(self._seconds)
        return [Completion(f"reply to {prompt}") for prompt in prompts]


def replies(cache: Path, log: Path, seconds: float) -> list[str]:
    """All replies, from the model or from the cache."""
    with ReplyCache(cache) as opened:
        generator = CachedGenerator(LoggingModel(log, seconds), opened, BATCH)
        return [reply.text for reply in generator.replies(PROMPTS)]


if __name__ == "__main__":
    replies(Path(sys.argv[1]), Path(sys.argv[2]), 0.02)
