"""YAML documents whose values know their line, so that errors can name it."""

import difflib
import math
from typing import Any

from patientdx.errors import InputError

Scalar = bool | int | float | str

REMEDY = (
    "recipes are MergeKit's YAML; `patientdx merge --show-recipe --preset patientdx-7b` prints one"
)


def yaml_module() -> Any:
    """PyYAML, which MergeKit installs."""
    from importlib import import_module

    from patientdx.capabilities import require_package

    require_package("yaml", "merge")
    return import_module("yaml")


class YamlNode:
    """A node of a YAML document with its line."""

    def __init__(self, node: Any, loader: Any, name: str) -> None:
        self._node = node
        self._loader = loader
        self._name = name

    @property
    def line(self) -> int:
        """The line on which the node begins, counted from 1."""
        return int(self._node.start_mark.line) + 1

    def error(self, problem: str, hint: str = REMEDY) -> InputError:
        """An error that names the file and the line of this node."""
        return InputError.at(self._name, self.line, problem, hint=hint)

    def value(self) -> Any:
        """The node as dicts, lists and scalars."""
        return self._loader.construct_object(self._node, deep=True)

    @property
    def is_map(self) -> bool:
        """Whether the node is a mapping."""
        return bool(self._node.id == "mapping")

    @property
    def is_list(self) -> bool:
        """Whether the node is a list."""
        return bool(self._node.id == "sequence")

    def items(self, what: str) -> "list[YamlNode]":
        """The elements of a list."""
        if not self.is_list:
            raise self.error(f"{what} must be a list")
        return [YamlNode(node, self._loader, self._name) for node in self._node.value]

    def fields(self, what: str, known: tuple[str, ...] | None = None) -> "dict[str, YamlNode]":
        """The fields of a mapping that are not null. Raises InputError for a key not in `known`."""
        if not self.is_map:
            raise self.error(f"{what} must be a mapping")
        self._loader.flatten_mapping(self._node)
        fields: dict[str, YamlNode] = {}
        for key_node, node in self._node.value:
            key = YamlNode(key_node, self._loader, self._name)
            name = str(key.value()) if key_node.id == "scalar" else ""
            if known is not None and name not in known:
                raise key.error(f"{what} has no key `{name}`", hint=nearest_name(name, known))
            if name in fields:
                raise key.error(f"`{name}` appears twice in {what}")
            field = YamlNode(node, self._loader, self._name)
            if node.id != "scalar" or field.value() is not None:
                fields[name] = field
        return fields

    def key(self, name: str) -> "YamlNode":
        """The key of a mapping, which may stand on a line before its value."""
        keys = [node for node, _ in self._node.value if str(node.value) == name]
        return YamlNode(keys[0] if keys else self._node, self._loader, self._name)

    def scalar(self, what: str) -> Scalar:
        """A number, a word or a truth value."""
        value = self.value() if not (self.is_map or self.is_list) else None
        if not isinstance(value, bool | int | float | str):
            raise self.error(f"{what} must be a number or a word")
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(f"{what} must be finite")
        return value

    def text(self, what: str) -> str:
        """A word."""
        value = self.value() if not (self.is_map or self.is_list) else None
        if not isinstance(value, str) or not value:
            raise self.error(f"{what} must be a name")
        return value


def nearest_name(name: str, known: tuple[str, ...]) -> str:
    """A hint for a name that is not known: the nearest of those that are, or all of them."""
    matches = difflib.get_close_matches(name, known, 1)
    return f"did you mean `{matches[0]}`?" if matches else f"known: {', '.join(known)}"


def parse_yaml(text: str, name: str) -> YamlNode:
    """The document in a YAML text. Raises InputError unless there is exactly one."""
    yaml = yaml_module()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if error.context and "single document" in error.context:
            problem = "there is more than one recipe in this file"
            raise InputError.at(name, line, problem, hint="merge them one by one") from None
        raise InputError.at(name, line, f"not valid YAML: {error.problem}", hint=REMEDY) from None
    except yaml.YAMLError as error:
        message = str(error).splitlines()[0]
        raise InputError.at(name, 1, f"not valid YAML: {message}", hint=REMEDY) from None
    if node is None:
        raise InputError.at(name, 1, "the recipe is empty", hint=REMEDY)
    return YamlNode(node, loader, name)
