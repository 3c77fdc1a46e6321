"""Option groups: dataclasses of options that several commands share, and rules between options.

A command takes a group as one typed parameter; `command` spreads its fields into options of
their own for Typer, and collects their values again. Rules say which options go together, so
that no option is ever ignored silently:

    @command(Mode("list_presets", frozenset({"as_json"})))
    def merge(models: Models = None, list_presets: ListPresets = False, *, output: Output) -> None:

To share an option, add a field to a group; to forbid a combination, add a rule to the command.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from typing import Any, Protocol, get_type_hints, runtime_checkable

import typer

from patientdx.errors import UsageError

Values = Mapping[str, Any]
"""Values of all options of a command by parameter name, defaults included."""


@dataclass(frozen=True)
class Invocation:
    """How a command was called: all values, which of them the user set, and their flags."""

    values: Values
    explicit: frozenset[str]
    flags: Mapping[str, str]

    def flag(self, name: str) -> str:
        """The option as the user types it."""
        return self.flags.get(name, name)


class Rule(Protocol):
    """A rule between the options of a command."""

    def check(self, call: Invocation) -> None:
        """Raise UsageError where the call breaks the rule."""
        ...


@runtime_checkable
class OptionRule(Rule, Protocol):
    """A rule that brings an option of its own, which the command's function does not receive."""

    @property
    def own_option(self) -> inspect.Parameter:
        """The option, as a parameter of the command."""
        ...


@dataclass(frozen=True)
class Mode:
    """With this option the command does something else, which only `concerns` affect.

    `hints` has the hint for options whose conflict needs an explanation of its own.
    """

    option: str
    concerns: frozenset[str] = frozenset()
    hints: Mapping[str, str] = field(default_factory=dict)

    def check(self, call: Invocation) -> None:
        """See Rule."""
        if self.option not in call.explicit or not call.values[self.option]:
            return
        others = sorted(call.explicit - self.concerns - {self.option})
        if others:
            raise UsageError(
                f"{call.flag(others[0])} has no effect with {call.flag(self.option)}",
                hint=self.hints.get(others[0], f"leave {call.flag(others[0])} out"),
            )


@dataclass(frozen=True)
class Needs:
    """These options have an effect only where `condition` holds."""

    options: Collection[str]
    condition: Callable[[Values], bool]
    hint: str

    def check(self, call: Invocation) -> None:
        """See Rule."""
        useless = sorted(call.explicit.intersection(self.options))
        if useless and not self.condition(call.values):
            raise UsageError(f"{call.flag(useless[0])} has no effect here", hint=self.hint)


@dataclass(frozen=True)
class Excludes:
    """At most one of these options may be used."""

    options: Collection[str]

    def check(self, call: Invocation) -> None:
        """See Rule."""
        used = [name for name in self.options if name in call.explicit and call.values[name]]
        if len(used) > 1:
            flags = " and ".join(call.flag(name) for name in used[:2])
            raise UsageError(f"{flags} exclude each other", hint="give one of them")


def is_set(*names: str) -> Callable[[Values], bool]:
    """A condition for `Needs`: any of these options has a value."""
    return lambda values: any(values[name] for name in names)


def command(*rules: Rule) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose option groups are spread into options, and whose rules are checked first.

    The command that Typer sees has one parameter an option; the decorated function receives each
    group as one value. Rules name parameters of the spread command.
    """
    own_options = [rule.own_option for rule in rules if isinstance(rule, OptionRule)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        groups: dict[str, Any] = {
            name: parameter.annotation
            for name, parameter in signature.parameters.items()
            if is_dataclass(parameter.annotation)
        }

        @wraps(function)
        def run(context: typer.Context, **values: Any) -> None:
            call = _invocation(context, values)
            for rule in rules:
                rule.check(call)
            for option in own_options:
                del values[option.name]
            collected = {
                name: group(**{item.name: values.pop(item.name) for item in fields(group)})
                for name, group in groups.items()
            }
            function(**values, **collected)

        spread = [*_spread(signature, groups), *own_options]
        run.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
        del run.__wrapped__  # Typer would read the annotations of the original through it
        return run

    return decorate


def _spread(
    signature: inspect.Signature, groups: Mapping[str, type[Any]]
) -> list[inspect.Parameter]:
    """The parameters with each group replaced by its fields, all by keyword."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    spread = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    for name, parameter in signature.parameters.items():
        group = groups.get(name)
        if group is None:
            spread.append(parameter.replace(kind=keyword))
            continue
        annotations = get_type_hints(group, include_extras=True)
        spread += [
            inspect.Parameter(
                item.name, keyword, default=item.default, annotation=annotations[item.name]
            )
            for item in fields(group)
        ]
    return spread


def _invocation(context: typer.Context, values: Values) -> Invocation:
    explicit, flags = set(), {}
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            explicit.add(name)
        flags[name] = _flag(parameter.opts, name)
    return Invocation(values, frozenset(explicit), flags)


def _flag(spellings: list[str], name: str) -> str:
    long = [spelling for spelling in spellings if spelling.startswith("--")]
    return long[0] if long else name.upper()
