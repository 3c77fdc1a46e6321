"""The models that a server lists at `/v1/models`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from patientdx.errors import ModelError

from .address import ServerAddress
from .client import JsonClient, UnansweredError

_CONTEXT_FIELDS = ("max_model_len", "context_length", "context_window", "max_context_length")
_VOLATILE_FIELDS = frozenset({"created", "permission"})
_NO_LIST = frozenset({404, 405, 501})


@dataclass(frozen=True)
class ServedModel:
    """An entry of `/v1/models`; `context` is in tokens, 0 where the server does not report it."""

    name: str
    owner: str
    context: int
    entry: Mapping[str, Any]


def find_served_model(client: JsonClient, name: str | None) -> ServedModel:
    """The model of a name, or the only one. Raises ModelError for a missing or ambiguous one.

    Where a server has no list, the name is taken as it is.
    """
    try:
        models = client.request("/v1/models", parse=_read_list)
    except UnansweredError as refusal:
        if name is None or refusal.status not in _NO_LIST:
            raise
        return served_model({"id": name})
    return _choose_model(models, name, client.address)


def served_model(entry: Mapping[str, Any]) -> ServedModel:
    """One entry of the list."""
    meta = entry.get("meta") or {}
    contexts = [*(entry.get(field) for field in _CONTEXT_FIELDS), meta.get("n_ctx")]
    context = next((int(size) for size in contexts if size), 0)
    owner = str(entry.get("owned_by", ""))
    stable = {key: value for key, value in entry.items() if key not in _VOLATILE_FIELDS}
    return ServedModel(str(entry["id"]), owner, context, stable)


def _read_list(answer: Any) -> list[ServedModel]:
    """The distinct models of a list; Ollama writes null where there is none."""
    entries = answer if isinstance(answer, list) else answer["data"]
    models = [served_model(entry) for entry in entries or ()]
    return list({model.name: model for model in models}.values())


def _choose_model(
    models: Sequence[ServedModel], name: str | None, address: ServerAddress
) -> ServedModel:
    by_name = {model.name: model for model in models}
    if name is None and len(models) == 1:
        return models[0]
    for spelling in (name, f"{name}:latest"):  # Ollama's tag, if none is written
        if name is not None and spelling in by_name:
            return by_name[spelling]
    names = ", ".join(list(by_name)[:8])
    hint = f"name one of its models after a #: {names}" if models else "start it with a model"
    problem = f"has no model `{name}`" if name else f"has {len(models)} models"
    raise ModelError(f"{address} {problem}", hint=hint)
