"""Tasks of lm-evaluation-harness: loaded without a hub, scored item by item.

The prompts of all items are built once, in their order, so that a score depends neither on the
other items of a batch nor on how often the task was run before.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from patientdx.capabilities import require_package
from patientdx.errors import EvaluationError

from .harness_model import HarnessModel
from .offline import quiet_and_offline

FEWSHOT_SEED = 1234
"""Draws the examples of a prompt, as in the harness."""

_CODE_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)
"""What code of a task may raise."""

Floats = npt.NDArray[np.float64]


class TaskName(NamedTuple):
    """A task by its name, and one of its metrics by name and filter; None is the task's first."""

    task: str
    metric: str | None = None
    answer_filter: str | None = None

    @classmethod
    def parse(cls, text: str) -> "TaskName":
        """Reads TASK, TASK:METRIC or TASK:METRIC,FILTER. Raises EvaluationError."""
        task, colon, rest = text.partition(":")
        metric, comma, answer_filter = rest.partition(",")
        if not task or (colon and not metric) or (comma and not answer_filter):
            raise EvaluationError(
                f"`{text}` names no task", hint="TASK, TASK:METRIC or TASK:METRIC,FILTER"
            )
        return cls(task, metric or None, answer_filter or None)


@dataclass(frozen=True, eq=False, repr=False)
class HarnessTask:
    """A task with one metric that is the mean of a number for each item. Never prints itself.

    `requests` are those of each item, `digest` identifies all that a score depends on beside
    them and the model.
    """

    name: str
    metric: str
    answer_filter: str
    higher_is_better: bool
    requests: tuple[tuple[Any, ...], ...]
    digest: str
    task: Any

    @classmethod
    def load(
        cls, name: TaskName, folder: Path | None = None, items: int | None = None
    ) -> "HarnessTask":
        """A task of a folder of YAML files, or of the harness, with its first `items` items.

        Raises EvaluationError for a task that cannot be loaded without a network, a metric that it
        does not have or that is no mean over items, and one without a direction;
        ExtraMissingError without lm_eval.
        """
        require_package("lm_eval", "lm-eval")
        with TemporaryDirectory(prefix="patientdx-") as cache, quiet_and_offline(cache):
            task = _load_task(name.task, folder)
            requests = _build_requests(task, name.task, items)
        metric, answer_filter = _choose_metric(task, name)
        facts = [version("lm_eval"), metric, answer_filter, FEWSHOT_SEED, _configuration(task)]
        return cls(
            name.task,
            metric,
            answer_filter,
            _is_higher_better(task, name.task, metric),
            requests,
            _digest(facts),
            task,
        )

    @property
    def title(self) -> str:
        """The task and its metric, with the filter of the answers if it has a name."""
        suffix = "" if self.answer_filter == "none" else f",{self.answer_filter}"
        return f"{self.name} {self.metric}{suffix}"

    @property
    def keys(self) -> list[str]:
        """A digest of each item: the document and its prompts."""
        return [
            _digest([item[0].doc, [list(request.args) for request in item]])
            for item in self.requests
        ]

    def score(self, model: HarnessModel, numbers: Iterable[int]) -> Floats:
        """The metric of the items of some numbers."""
        items = [
            [replace(request, resps=[], filtered_resps={}) for request in self.requests[number]]
            for number in numbers
        ]
        requests = [request for item in items for request in item]
        with quiet_and_offline():
            _answer(model, requests)
            self.task._instances = requests  # noqa: SLF001 - what its filters work on
            self.task.apply_filters()
            return np.array([self._item_score(item) for item in items], np.float64)

    def _item_score(self, item: Sequence[Any]) -> float:
        answers = [request.filtered_resps[self.answer_filter] for request in item]
        values: Mapping[str, Any] = self.task.process_results(item[0].doc, answers)
        if self.metric not in values or not np.isscalar(values[self.metric]):
            raise EvaluationError(f"`{self.name}` has no number by `{self.metric}` for each item")
        return float(values[self.metric])


def _answer(model: HarnessModel, requests: Sequence[Any]) -> None:
    """Append the model's response to each request, as often as the task repeats it."""
    by_kind: dict[str, list[Any]] = {}
    for request in requests:
        by_kind.setdefault(request.request_type, []).extend([request] * (request.repeats or 1))
    for kind, repeated in by_kind.items():
        if kind not in {"loglikelihood", "loglikelihood_rolling", "generate_until"}:
            raise EvaluationError(f"tasks by `{kind}` are not supported")
        for request, response in zip(repeated, getattr(model, kind)(repeated), strict=True):
            request.resps.append(response)


def _load_task(name: str, folder: Path | None) -> Any:
    with _loading_errors(name):
        manager = _task_manager(name, folder)
        tasks = manager.load([name])["tasks"] if name in manager.all_tasks else {}
    if not tasks:
        raise EvaluationError(
            f"`{name}` is not a task of lm-evaluation-harness",
            hint="name the folder of its YAML file: --lm-eval-tasks FOLDER",
        )
    if len(tasks) > 1:
        raise EvaluationError(
            f"`{name}` is a group of {len(tasks):,} tasks", hint=f"name a task: {next(iter(tasks))}"
        )
    return next(iter(tasks.values()))


def _task_manager(name: str, folder: Path | None) -> Any:
    """What finds tasks: those of the folder if it has the name, else also the harness's own.

    These are thousands of files, which take long to read.
    """
    from lm_eval.tasks import TaskManager

    if folder is None:
        return TaskManager()
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return manager if name in manager.all_tasks else TaskManager(include_path=str(folder))


def _build_requests(task: Any, name: str, items: int | None) -> tuple[tuple[Any, ...], ...]:
    """The requests of each item, in order."""
    if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
        raise EvaluationError(f"`{name}` runs code of the model, or needs more than text")
    with _loading_errors(name):
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        task.build_all_requests(limit=items)
    by_item: dict[int, list[Any]] = {}
    for request in task.instances:
        by_item.setdefault(request.doc_id, []).append(request)
    return tuple(
        tuple(sorted(requests, key=lambda request: request.idx)) for requests in by_item.values()
    )


def _choose_metric(task: Any, name: TaskName) -> tuple[str, str]:
    """The names of the metric and of the filter."""
    from lm_eval.api.metrics import mean

    aggregations: Mapping[str, Any] = task.aggregation()
    means = [metric for metric, aggregation in aggregations.items() if aggregation is mean]
    metric = name.metric or next(iter(means), None)
    if metric not in aggregations or metric not in means:
        known = f"means are {', '.join(means)}" if means else "it has no such metric"
        raise EvaluationError(
            f"`{name.task}` has no metric {f'`{metric}` ' if metric else ''}"
            "that is the mean of a number for each item",
            hint=known,
        )
    filters = [ensemble.name for ensemble in task._filters]  # noqa: SLF001 - has no other name
    chosen = name.answer_filter or filters[0]
    if chosen not in filters:
        raise EvaluationError(
            f"`{name.task}` has no filter `{chosen}`", hint=f"filters are {', '.join(filters)}"
        )
    return str(metric), chosen


def _is_higher_better(task: Any, name: str, metric: str) -> bool:
    direction = task.higher_is_better().get(metric)
    if not isinstance(direction, bool):
        raise EvaluationError(
            f"`{name}` does not say whether more of `{metric}` is better",
            hint="add higher_is_better to the metric in its YAML file",
        )
    return direction


def _configuration(task: Any) -> dict[str, Any]:
    """The configuration of a task without the places of its files."""
    places = {"metadata", "dataset_path", "dataset_name", "dataset_kwargs"}
    return {key: value for key, value in task.dump_config().items() if key not in places}


@contextmanager
def _loading_errors(name: str) -> Iterator[None]:
    """What goes wrong in YAML, templates, code and data of a task, as an EvaluationError."""
    from datasets.exceptions import DatasetsError
    from jinja2 import TemplateError
    from yaml import YAMLError

    try:
        yield
    except (*_CODE_ERRORS, DatasetsError, TemplateError, YAMLError) as error:
        reason = next(iter(str(error).strip().splitlines()), "")[:200]
        raise EvaluationError(
            f"the task `{name}` could not be loaded: {type(error).__name__}: {reason}",
            hint="hubs are not contacted: its YAML file names local data (dataset_path: json)",
        ) from error


def _digest(facts: Any) -> str:
    content = json.dumps(facts, sort_keys=True, default=str, ensure_ascii=False)
    return blake2b(content.encode(), digest_size=24).hexdigest()
