"""The settings of a system as names and values, as in tuning and in a settings file.

system          the system itself, such as `rrf(bm25,rm3)`
k1, b           of BM25, for all parts
rrf_k           the k of reciprocal rank fusion
weights         of the parts of the outermost fusion, in order: `1:0.5`
STRATEGY.FIELD  a field of a strategy's settings: `rm3.terms`, `keywords.weight`
phrases.FIELD   a field of PhraseSettings: `phrases.pair_weight`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from expander.strategies.registry import STRATEGIES
from patientdx.errors import UsageError
from patientdx.wording import count_noun

from .phrase_settings import PhraseSettings
from .system import PHRASES, System, parse_system

Value = bool | int | float | str
_SYSTEM_NUMBERS = ("k1", "b", "rrf_k")
_INDEX_FIELDS = frozenset({"k1", "b"})
"""Fields of PhraseSettings that follow the index instead of being set themselves."""


@dataclass(frozen=True)
class SystemSettings:
    """A system with its numbers, and the changed settings of its strategies by name.

    None for `k1` and `b` keeps those of the index.
    """

    system: System
    k1: float | None = None
    b: float | None = None
    rrf_k: float = 60
    strategies: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    def strategy_settings(self, name: str) -> Any:
        """The settings of a strategy, None for its defaults. Raises UsageError, InputError."""
        values = self.strategies.get(name)
        return _with_values(name, STRATEGIES[name].Settings(), values) if values else None

    def phrase_settings(self, k1: float, b: float) -> PhraseSettings:
        """The settings of the system `phrases` over an index with this k1 and b."""
        defaults = PhraseSettings(k1, b)
        values = self.strategies.get(PHRASES, {})
        settings: PhraseSettings = _with_values(PHRASES, defaults, values)
        return settings

    def __str__(self) -> str:
        return str(self.system)


def parse_system_settings(values: Mapping[str, Value]) -> SystemSettings:
    """The settings that names and values describe, in the format of the module's docstring.

    Raises UsageError for a setting that the system does not have and for a value of the wrong
    type, InputError for a value out of range.
    """
    remaining = dict(values)
    system = parse_system(str(remaining.pop("system", "bm25")))
    if "weights" in remaining:
        system = _with_weights(system, str(remaining.pop("weights")))
    numbers = {
        name: _parse_number(name, remaining.pop(name))
        for name in _SYSTEM_NUMBERS
        if name in remaining
    }
    strategies: dict[str, dict[str, Value]] = {}
    for name, value in remaining.items():
        part, _, field_name = name.partition(".")
        if part not in _configurable_parts(system) or not field_name:
            problem = f"the system `{system}` has no setting `{name}`"
            raise UsageError(problem, hint=_list_settings(system))
        strategies.setdefault(part, {})[field_name] = value
    settings = SystemSettings(system, strategies=strategies, **numbers)
    for part in strategies:  # raises errors now rather than at the first search
        settings.phrase_settings(0.9, 0.4) if part == PHRASES else settings.strategy_settings(part)
    return settings


def _with_weights(system: System, weights: str) -> System:
    """The system with other weights in its outermost fusion, such as `1:0.5`."""
    numbers = [_parse_number("weights", part) for part in weights.split(":")]
    if len(numbers) != len(system.parts):
        raise UsageError(
            f"{count_noun(len(numbers), 'weight')} for the {len(system.parts)} parts of `{system}`",
            hint="weights are those of the parts of a fusion, in order: 1:0.5",
        )
    pairs = zip(numbers, system.parts, strict=True)
    return replace(system, parts=tuple((weight, part) for weight, (_, part) in pairs))


def _configurable_parts(system: System) -> frozenset[str]:
    """The names that may stand before the dot of a setting."""
    return system.strategies | (system.leaves & {PHRASES})


def _list_settings(system: System) -> str:
    """A hint that lists all settings of a system."""
    names = [*_SYSTEM_NUMBERS, *(["weights"] if system.parts else [])]
    for part in sorted(_configurable_parts(system)):
        defaults = PhraseSettings() if part == PHRASES else STRATEGIES[part].Settings()
        names += [f"{part}.{name}" for name in _scalar_values(part, defaults)]
    return f"it has {', '.join(names)}"


def _scalar_values(part: str, settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass that hold a number, a boolean or None."""
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}
    return {
        name: value
        for name, value in values.items()
        if (value is None or isinstance(value, int | float))
        and not (part == PHRASES and name in _INDEX_FIELDS)
    }


def _with_values(part: str, settings: Any, values: Mapping[str, Value]) -> Any:
    """A settings dataclass with some fields changed. Raises UsageError for invalid values."""
    defaults = _scalar_values(part, settings)
    changes = {}
    for name, value in values.items():
        if name not in defaults:
            raise UsageError(f"`{part}` has no setting `{name}`")
        changes[name] = _convert(f"{part}.{name}", value, defaults[name])
    return replace(settings, **changes)


def _convert(name: str, value: Value, default: object) -> Value:
    """The value as the type of the default. Raises UsageError if it has another type."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"`{name}` is true or false, not `{value}`")
        return value
    number = _parse_number(name, value)
    if not isinstance(default, float) and number.is_integer() and not isinstance(value, float):
        return int(number)
    if isinstance(default, int):
        raise UsageError(f"`{name}` is a whole number, not `{value}`")
    return number


def _parse_number(name: str, value: Value) -> float:
    try:
        return float("" if isinstance(value, bool) else value)
    except ValueError:
        raise UsageError(f"`{name}` is a number, not `{value}`") from None
