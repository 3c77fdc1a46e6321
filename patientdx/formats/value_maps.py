"""What the user says that values of a field mean, as `sex:0=M,1=F`."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from patientdx.errors import UsageError

from .values import age_from_field, date_from_field, sex_from_field

Role = Literal["age", "sex", "date"]
READERS: Mapping[Role, Callable[[Any], Any]] = {
    "age": age_from_field,
    "sex": sex_from_field,
    "date": date_from_field,
}
"""How values of a role are understood without a map."""
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_HINT = "for instance --map sex:0=M,1=F --map age:adult=18+; nothing after = means unknown"


@dataclass(frozen=True)
class ValueMaps:
    """Meanings of values by what their column holds; None means that the value says nothing."""

    meanings: Mapping[Role, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "ValueMaps":
        """The meanings in texts such as `sex:0=M,1=F`. Raises UsageError."""
        meanings: dict[Role, dict[str, Any]] = {}
        for text in texts:
            before, colon, pairs = text.partition(":")
            role = next((role for role in READERS if role == before.strip().lower()), None)
            if not colon or role is None:
                raise UsageError(f"--map: `{text}` begins with none of age, sex, date", hint=_HINT)
            for pair in pairs.split(","):
                _add_pair(meanings.setdefault(role, {}), role, pair)
        return cls(meanings)

    def understand(self, role: Role, value: Any) -> tuple[bool, Any]:
        """Whether the value was understood, and its meaning, None if it says nothing."""
        mapped = self.meanings.get(role)
        if mapped:
            key = value_key(value)
            if key in mapped:
                return True, mapped[key]
        meaning = READERS[role](value)
        return meaning is not None, meaning


def value_key(value: Any) -> str:
    """A value as maps name it: without case and outer blanks, 1.0 as 1."""
    text = str(value).strip().casefold()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _add_pair(mapped: dict[str, Any], role: Role, pair: str) -> None:
    value, equals, text = pair.partition("=")
    if not equals or not value.strip():
        raise UsageError(f"--map: `{pair}` is no value=meaning", hint=_HINT)
    meaning = READERS[role](text) if text.strip() else None
    if text.strip() and meaning is None:
        raise UsageError(f"--map: `{text}` is no {role}", hint=_HINT)
    if mapped.setdefault(value_key(value), meaning) != meaning:
        raise UsageError(f"--map: `{value}` has two meanings", hint=_HINT)
