"""Files of tuned settings: what was chosen, the figures behind it, and on which judgements."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeGuard, TypeVar

from patientdx.errors import EvaluationError, InputError
from patientdx.formats import TextInput, atomic_writer
from patientdx.records import Qrels

from .judgements import digest_of, fingerprints
from .tuning import Setting, Settings, Tuning

FORMAT = "patientdx tuned settings"
VERSION = 1

_Value = TypeVar("_Value")
_HINT = "such files are made by tune-ir"


@dataclass(frozen=True)
class TunedSettings:
    """Settings that were chosen on judged queries, with what is needed to trust or repeat that.

    `means` has the mean of `measure` for each candidate over all `n` queries, `chosen` the
    candidate that was taken, `fold_choices` those taken on the queries outside each fold, and
    `out_of_fold` the mean of the values that queries had under the choice of their fold. `seed`
    dealt the folds; `grouped` tells whether related queries shared one. `judged` are fingerprints
    of the judgements used. `notes` say what was tuned on what.
    """

    measure: str
    n: int
    candidates: tuple[Settings, ...]
    means: tuple[float, ...]
    chosen: int
    fold_choices: tuple[int, ...]
    out_of_fold: float
    seed: int
    grouped: bool
    judged: frozenset[str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What was chosen."""
        return self.candidates[self.chosen]

    @property
    def mean(self) -> float:
        """The mean of what was chosen, on the queries it was chosen by: flattering."""
        return self.means[self.chosen]

    @property
    def qrels_digest(self) -> str:
        """One digest of the judgements used."""
        return digest_of(self.judged)


def tuned_settings(tuning: Tuning, notes: Mapping[str, str] | None = None) -> TunedSettings:
    """What of a tuning goes into a file.

    Raises EvaluationError for settings that are no words or finite numbers.
    """
    if not all(_is_setting(value) for one in tuning.candidates for value in one.values()):
        raise EvaluationError("settings that go into a file are words and finite numbers")
    return TunedSettings(
        measure=tuning.measure,
        n=len(tuning.fold_of),
        candidates=tuning.candidates,
        means=tuning.means,
        chosen=tuning.chosen,
        fold_choices=tuning.fold_choices,
        out_of_fold=tuning.out_of_fold.mean(tuning.measure),
        seed=tuning.folds.seed,
        grouped=bool(tuning.folds.groups),
        judged=tuning.judged,
        notes=dict(notes or {}),
    )


def tuned_on(tuned: TunedSettings, qrels: Qrels) -> bool:
    """Whether any query of these judgements was among those that the settings were chosen by.

    A query counts as the same where its id and its judgements are.
    """
    return not tuned.judged.isdisjoint(fingerprints(qrels))


def write_tuned(path: Path | str, tuned: TunedSettings) -> None:
    """Writes the file in one atomic step, as JSON. Raises PatientDxError where it cannot."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "settings": dict(tuned.settings),
        "measure": tuned.measure,
        "n": tuned.n,
        "mean": tuned.mean,
        "out_of_fold": tuned.out_of_fold,
        "folds": {
            "seed": tuned.seed,
            "grouped": tuned.grouped,
            "choices": list(tuned.fold_choices),
        },
        "chosen": tuned.chosen,
        "candidates": [
            {"settings": dict(candidate), "mean": mean}
            for candidate, mean in zip(tuned.candidates, tuned.means, strict=True)
        ],
        "notes": dict(tuned.notes),
        "qrels": {"digest": tuned.qrels_digest, "judged": sorted(tuned.judged)},
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_writer(path) as out:
        out.write(text + "\n")


def read_tuned(path: Path | str) -> TunedSettings:
    """Reads such a file. Raises InputError, naming it, for one damaged, foreign or newer."""
    content = _Fields(path, _parsed(path))
    if content.values.get("format") != FORMAT:
        content.refuse("this is no file of tuned settings")
    if content.get("version", int) > VERSION:
        content.refuse("it was written by a newer version", hint="update PatientDx")
    folds, qrels = content.fields("folds"), content.fields("qrels")
    candidates = [_Fields(path, one) for one in content.items("candidates", dict)]
    tuned = TunedSettings(
        measure=content.get("measure", str),
        n=content.get("n", int),
        candidates=tuple(one.settings() for one in candidates),
        means=tuple(one.number("mean") for one in candidates),
        chosen=content.get("chosen", int),
        fold_choices=tuple(folds.items("choices", int)),
        out_of_fold=content.number("out_of_fold"),
        seed=folds.get("seed", int),
        grouped=folds.get("grouped", bool),
        judged=frozenset(qrels.items("judged", str)),
        notes={name: str(note) for name, note in content.get("notes", dict).items()},
    )
    if not all(0 <= one < len(candidates) for one in (tuned.chosen, *tuned.fold_choices)):
        content.refuse("it names a candidate that it does not hold")
    if tuned.settings != content.settings():
        content.refuse("its settings are not those that its figures are of")
    if tuned.qrels_digest != qrels.get("digest", str):
        content.refuse("its list of judged queries does not match its digest")
    return tuned


class _Fields:
    """Values of a JSON object, each of the type that it must have."""

    def __init__(self, path: Path | str, values: dict[str, Any]) -> None:
        self._path = path
        self.values = values

    def refuse(self, problem: str, hint: str = _HINT) -> NoReturn:
        raise InputError(f"{os.fspath(self._path)}: {problem}", hint=hint)

    def get(self, name: str, kind: type[_Value]) -> _Value:
        value = self.values.get(name)
        if type(value) is not kind:
            self.refuse(f"`{name}` is missing or of another type")
        return value

    def number(self, name: str) -> float:
        value = self.values.get(name)
        if not _is_setting(value) or isinstance(value, bool | str):
            self.refuse(f"`{name}` is missing or no number")
        return float(value)

    def fields(self, name: str) -> "_Fields":
        return _Fields(self._path, self.get(name, dict))

    def items(self, name: str, kind: type[_Value]) -> list[_Value]:
        values: list[_Value] = self.get(name, list)
        if any(type(value) is not kind for value in values):
            self.refuse(f"`{name}` holds something of another type")
        return values

    def settings(self) -> dict[str, Setting]:
        values: dict[str, Setting] = self.get("settings", dict)
        if not all(map(_is_setting, values.values())):
            self.refuse("`settings` holds something else than words and finite numbers")
        return values


def _is_setting(value: object) -> TypeGuard[Setting]:
    if isinstance(value, float):
        return math.isfinite(value)
    # What no float can hold is no number that anything here can use.
    return isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 1 << 63)


def _parsed(path: Path | str) -> dict[str, Any]:
    """The JSON object of a file."""
    with TextInput(path) as source:
        text = "".join(source.lines())
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError.at(source.name, error.lineno, "this is not JSON", hint=_HINT) from error
    except (ValueError, RecursionError) as error:  # digits or brackets without end
        raise InputError(f"{source.name}: this is not JSON", hint=_HINT) from error
    if not isinstance(content, dict):
        raise InputError(f"{source.name}: this is no file of tuned settings", hint=_HINT)
    return content
