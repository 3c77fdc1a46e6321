"""A system with its settings as words and numbers: what tuning chooses and a settings file holds.

system          the system itself, such as `rrf(bm25,rm3)`
k1, b           of BM25, below everything
rrf_k           the k of reciprocal rank fusion
weights         of the parts of the outermost fusion, in order: `1:0.5`
STRATEGY.FIELD  a number of a strategy's settings: `rm3.terms`, `keywords.weight`
phrases.FIELD   a number of PhraseSettings: `phrases.pair_weight`
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from expander.fusion.methods import NORMS
from expander.strategies.registry import STRATEGIES, tuning_axes
from patientdx.errors import UsageError

from .phrases import PhraseSettings
from .system import PHRASES, System, parse_system

Value = bool | int | float | str
Axes = dict[str, list[Value]]
_NUMBERS = ("k1", "b", "rrf_k")
_K1: tuple[float, ...] = (0.3, 0.6, 0.9, 1.2, 2.0, 4.0)
_B: tuple[float, ...] = (0.0, 0.4, 0.75, 1.0)
_FEW_K1: tuple[float, ...] = (0.6, 0.9, 1.2, 2.0)
_FEW_B: tuple[float, ...] = (0.4, 0.75)
_RRF_K: tuple[float, ...] = (60, 20, 100)
_WEIGHTS = ("1:1", "1:0.5", "1:0.25")


@dataclass(frozen=True)
class SystemSettings:
    """A system, the numbers that are set for it, and those of its strategies by name.

    None for `k1` and `b` leaves them as the index has them.
    """

    system: System
    k1: float | None = None
    b: float | None = None
    rrf_k: float = 60
    strategies: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    def of(self, strategy: str) -> Any:
        """The settings of a strategy, None where nothing is set. Raises UsageError, InputError."""
        given = self.strategies.get(strategy)
        return _filled(strategy, STRATEGIES[strategy].Settings(), given) if given else None

    def phrases(self, k1: float, b: float) -> PhraseSettings:
        """The settings of the system `phrases` over BM25 under this k1 and b."""
        base = PhraseSettings(k1, b)
        filled: PhraseSettings = _filled(PHRASES, base, self.strategies.get(PHRASES, {}))
        return filled

    def __str__(self) -> str:
        return str(self.system)


def system_settings(values: Mapping[str, Value]) -> SystemSettings:
    """Settings from words and numbers as above.

    Raises UsageError for a name that the system does not have and for a value of another type.
    """
    rest = dict(values)
    system = parse_system(str(rest.pop("system", "bm25")))
    if "weights" in rest:
        system = weighted(system, str(rest.pop("weights")))
    numbers = {name: _number(name, rest.pop(name)) for name in _NUMBERS if name in rest}
    strategies: dict[str, dict[str, Value]] = {}
    for name, value in rest.items():
        owner, _, own = name.partition(".")
        if owner not in _owners(system) or not own:
            raise UsageError(f"the system `{system}` has no setting `{name}`", hint=_names(system))
        strategies.setdefault(owner, {})[own] = value
    made = SystemSettings(system, strategies=strategies, **numbers)
    for owner in strategies:  # complains now rather than at the first search
        made.phrases(0.9, 0.4) if owner == PHRASES else made.of(owner)
    return made


def weighted(system: System, weights: str) -> System:
    """The outermost fusion of a system under other weights, given as `1:0.5`."""
    numbers = [_number("weights", part) for part in weights.split(":")]
    if len(numbers) != len(system.parts):
        raise UsageError(
            f"{len(numbers)} weights for the {len(system.parts)} parts of `{system}`",
            hint="weights are those of the parts of a fusion, in order: 1:0.5",
        )
    pairs = zip(numbers, system.parts, strict=True)
    return replace(system, parts=tuple((weight, part) for weight, (_, part) in pairs))


def default_axes(system: System, k1: float, b: float) -> Axes:
    """Values to try for a system over an index of this k1 and b, which stand first.

    24 values of k1 and b for BM25 alone; fewer where the weights of a fusion, the k of RRF or
    numbers of terms are tried as well.
    """
    more = _axes_of_fusion(system) | _axes_of_terms(system)
    axes: Axes = {
        "k1": _first(k1, _FEW_K1 if more else _K1),
        "b": _first(b, _FEW_B if more else _B),
    }
    return axes | more


def _axes_of_fusion(system: System) -> Axes:
    axes: Axes = {}
    if len(system.parts) == 2 and system.name in {"rrf", *NORMS}:
        given = ":".join(f"{weight:g}" for weight, _ in system.parts)
        axes["weights"] = [given, *(one for one in _WEIGHTS if one != given)]
    if _uses_rrf(system):
        axes["rrf_k"] = list(_RRF_K)
    return axes


def _axes_of_terms(system: System) -> Axes:
    return {
        f"{name}.{field_name}": list(values)
        for name in sorted(system.strategies)
        for field_name, values in tuning_axes(name).items()
    }


def _uses_rrf(system: System) -> bool:
    return bool(system.parts) and (
        system.name == "rrf" or any(_uses_rrf(part) for _, part in system.parts)
    )


def _first(own: float, others: Sequence[float]) -> list[Value]:
    return [own, *(one for one in others if one != own)]


def _owners(system: System) -> frozenset[str]:
    return system.strategies | ({PHRASES} if PHRASES in system.leaves else set())


def _names(system: System) -> str:
    own = [
        f"{owner}.{one.name}"
        for owner in sorted(_owners(system))
        for one in _tunable(PhraseSettings() if owner == PHRASES else STRATEGIES[owner].Settings())
        if owner != PHRASES or one.name not in {"k1", "b"}
    ]
    return f"it has {', '.join([*_NUMBERS, *(['weights'] if system.parts else []), *own])}"


def _tunable(settings: Any) -> list[Any]:
    """The fields of a dataclass of settings that hold a number, a truth value or none."""
    return [
        one
        for one in fields(settings)
        if getattr(settings, one.name) is None
        or isinstance(getattr(settings, one.name), int | float)
    ]


def _filled(owner: str, settings: Any, given: Mapping[str, Value]) -> Any:
    known = {one.name: getattr(settings, one.name) for one in _tunable(settings)}
    changed = {}
    for name, value in given.items():
        if name not in known or (owner == PHRASES and name in {"k1", "b"}):
            raise UsageError(f"`{owner}` has no setting `{name}`")
        changed[name] = _like(f"{owner}.{name}", known[name], value)
    return replace(settings, **changed)


def _like(name: str, default: object, value: Value) -> Value:
    """The value, if it is of the type of the default."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"`{name}` is true or false, not `{value}`")
        return value
    number = _number(name, value)
    if not isinstance(default, float) and number.is_integer() and not isinstance(value, float):
        return int(number)
    if isinstance(default, int):
        raise UsageError(f"`{name}` is a whole number, not `{value}`")
    return number


def _number(name: str, value: Value) -> float:
    try:
        return float("" if isinstance(value, bool) else value)
    except ValueError:
        raise UsageError(f"`{name}` is a number, not `{value}`") from None
