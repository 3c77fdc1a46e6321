"""Opening the language model that expands queries, with the replies it has given before."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from expander import CachedGenerator, GenerationProgress, ReplyCache
from patientdx.errors import ModelError, ReplyError
from patientdx.models import ModelSettings, open_model
from patientdx.wording import count_noun

from .monitor import Monitor

DEFAULT_MODEL = "smollm2"


@dataclass(frozen=True)
class GeneratorSettings:
    """Which language model generates text, how it is run, and where its replies are kept.

    Without a `reply_cache` replies are kept for the time of one workflow only.
    """

    model: str = DEFAULT_MODEL
    settings: ModelSettings = field(default_factory=ModelSettings)
    reply_cache: Path | None = None

    def describe(self) -> str:
        """The model and how it generates, for notes below tables."""
        four_bits = ", NF4" if self.settings.quantize == "nf4" else ""
        return f"{self.model}{four_bits}, greedy, at most 200 new tokens"


def reply_cache_path(cache_folder: Path) -> Path:
    """The file in the cache folder that keeps replies of language models."""
    return cache_folder / "expansions.sqlite3"


@contextmanager
def open_generator(
    settings: GeneratorSettings,
    monitor: Monitor,
    on_progress: Callable[[GenerationProgress], None] | None = None,
) -> Iterator[CachedGenerator]:
    """The model behind its reply cache; both are closed at the end."""
    reported: set[str] = set()

    def report_failure(error: ModelError, count: int) -> None:
        reason = error.reason if isinstance(error, ReplyError) else error.message
        if reason not in reported:  # how many there were in all is reported at the end
            reported.add(reason)
            hint = f"; {error.hint}" if error.hint else ""
            monitor.warning(f"{count_noun(count, 'prompt')} got no reply: {reason}{hint}")

    with ExitStack() as stack:
        model = open_model(settings.model, settings.settings, warn=monitor.warning)
        stack.enter_context(closing(model))
        path = settings.reply_cache
        if path is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="patientdx-"))
            path = Path(folder) / "replies.sqlite3"
        cache = stack.enter_context(ReplyCache(path))
        yield CachedGenerator(model, cache, on_progress=on_progress, on_failure=report_failure)


def report_generation(generator: CachedGenerator, monitor: Monitor) -> None:
    """Report how many queries went on unexpanded and why, and how many notes were cut."""
    unexpanded, truncated = generator.unexpanded, generator.counts.truncated
    if unexpanded.failed:
        count = count_noun(len(unexpanded.failed), "query", "queries")
        monitor.notice(f"{count} went on unexpanded")
    if unexpanded.nothing:
        count = count_noun(len(unexpanded.nothing), "query", "queries")
        thoughts = count_noun(len(unexpanded.thoughts), "reply", "replies")
        why = f": {thoughts} ended before an answer, in thoughts" if unexpanded.thoughts else ""
        monitor.warning(f"the model gave nothing for {count}{why}")
    if truncated:
        notes = count_noun(truncated, "note")
        monitor.notice(f"{notes} cut in the middle to fit the model's context")
    if generator.counts.unchecked:
        prompts = count_noun(generator.counts.unchecked, "prompt")
        monitor.warning(
            f"{prompts} may be longer than the model's context, which the server does not report: "
            "name it by --context"
        )
