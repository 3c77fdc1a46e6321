"""`expand`: a whole file of queries, expanded once and kept."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patientdx.errors import UsageError

from . import asking, expansion, options, output

if TYPE_CHECKING:
    from expander import GenerationProgress


def expand(
    strategy: Annotated[
        str, typer.Argument(help="keywords, query2doc, grounded, rm3, rocchio, synonyms, reduce.")
    ] = "keywords",
    queries: Annotated[
        str | None, typer.Option("--queries", help="The queries: a JSONL or TSV file, or -.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to this file, not to stdout.")
    ] = None,
    index: options.IndexFolder = None,
    model: asking.ModelName = asking.DEFAULT_MODEL,
    backend: asking.BackendName = "auto",
    quantize: asking.Quantize = "none",
    dtype: asking.Dtype = "auto",
    prompt_format: asking.PromptFormat = "auto",
    vocabulary: expansion.Vocabulary = None,
    no_cache: asking.NoCache = False,
    allow_remote: asking.AllowRemote = False,
    with_replies: Annotated[
        bool, typer.Option("--with-replies", help="Also write what the model said.")
    ] = False,
    show_prompt: Annotated[
        bool, typer.Option("--show-prompt", help="Print the wording of the prompt, ask nothing.")
    ] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all kept replies of language models.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Expand a file of queries into JSONL: ids and what was added, never the notes.

    Replies are kept as each batch completes: a command that was killed goes on where it stopped.

    Example:
        patientdx expand rm3 --queries queries.jsonl --index my-index -o expanded.jsonl
    """
    if clear:
        _clear(quiet=quiet)
        return
    if show_prompt:
        _show_prompt(strategy)
        return
    if queries is None:
        raise UsageError("no queries named", hint="give --queries FILE, or - for stdin")
    asked = asking.Asked(
        model, backend, quantize, dtype, prompt_format, vocabulary, no_cache, allow_remote, quiet
    )
    _expand(strategy, queries, out, index, asked, with_replies=with_replies)


def _expand(
    strategy: str,
    source: str,
    out: Path | None,
    index: Path | None,
    asked: asking.Asked,
    *,
    with_replies: bool,
) -> None:
    from expander import expand_queries, expansion_row, make_strategy
    from patientdx.formats import read_queries

    waiting = list(read_queries(source))
    opened = options.open_index(index) if index is not None else None
    with output.progress(f"expanding by {strategy}", len(waiting), quiet=asked.quiet) as tick:
        pace = _Pace(tick)
        with expansion.means([strategy], asked, opened, on_done=pace.done) as given:
            done = expand_queries(waiting, make_strategy(strategy, given))
            rows = [expansion_row(one, with_reply=with_replies) for one in done]
    _write(rows, out)
    done_now = output.counted(len(rows), "query", "queries")
    pace_said = f", {pace.said()}" if pace.said() else ""
    output.say(f"{done_now} expanded{pace_said}", quiet=asked.quiet)


class _Pace:
    """How far the model has come, and how fast it writes."""

    def __init__(self, tick: output.Tick) -> None:
        self._tick = tick
        self._start = time.monotonic()
        self._prompts = 0
        self._tokens = 0

    def done(self, step: "GenerationProgress") -> None:
        """A step of progress."""
        self._prompts += step.prompts
        self._tokens += step.tokens
        self._tick(self._prompts, self.said())

    def said(self) -> str:
        """Tokens a second, where a model wrote any and told."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        return f"{self._tokens / seconds:.0f} tokens/s" if self._tokens else ""


def _write(rows: list[dict[str, Any]], out: Path | None) -> None:
    from patientdx.formats import atomic_writer

    with atomic_writer("-" if out is None else out) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _clear(*, quiet: bool) -> None:
    from expander import clear_cache

    path = asking.cache_path()
    said = "removed" if clear_cache(path) else "there was no cache at"
    output.say(f"{said} {path}", quiet=quiet)


def _show_prompt(strategy: str) -> None:
    from expander import STRATEGIES, PromptedExpander, read_prompt

    found = STRATEGIES.get(strategy)
    if found is None or not issubclass(found, PromptedExpander):
        prompted = [n for n, each in STRATEGIES.items() if issubclass(each, PromptedExpander)]
        raise UsageError(
            f"`{strategy}` has no prompt", hint=f"strategies with one: {', '.join(prompted)}"
        )
    output.data(read_prompt(strategy))
    if strategy == "keywords":
        output.say(expansion.RECONSTRUCTED)
