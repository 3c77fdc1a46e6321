"""Files of tuned settings: the choice, the measurements behind it, and the judgements used."""

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

from .judgements import judgement_fingerprints, judgements_digest
from .tuning import CandidateSettings, SettingValue, TuningResult

FORMAT = "patientdx tuned settings"
VERSION = 1

_Value = TypeVar("_Value")
_HINT = "such files are made by tune-ir"


@dataclass(frozen=True)
class TunedSettings:
    """Settings chosen on judged queries, with what is needed to trust or repeat the choice.

    `means` has the mean of `measure` for each candidate over all `n` queries, `chosen` the index
    of the chosen candidate, `fold_choices` those chosen on the queries outside each fold, and
    `out_of_fold` the mean of the queries' values under the choice of their fold. `seed` is that
    of the folds, which keep related queries together if `grouped`. `judged` are fingerprints of
    the judgements used. `notes` describe what was tuned, and on what.
    """

    measure: str
    n: int
    candidates: tuple[CandidateSettings, ...]
    means: tuple[float, ...]
    chosen: int
    fold_choices: tuple[int, ...]
    out_of_fold: float
    seed: int
    grouped: bool
    judged: frozenset[str]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> CandidateSettings:
        """The chosen settings."""
        return self.candidates[self.chosen]

    @property
    def mean(self) -> float:
        """The mean of the chosen settings on the queries they were chosen by: biased upwards."""
        return self.means[self.chosen]

    @property
    def qrels_digest(self) -> str:
        """One digest of the judgements used."""
        return judgements_digest(self.judged)


def build_tuned_settings(
    tuning: TuningResult, notes: Mapping[str, str] | None = None
) -> TunedSettings:
    """The part of a tuning result that is written to a file.

    Raises EvaluationError for settings that are not text or finite numbers.
    """
    if not all(_is_setting(value) for known in tuning.candidates for value in known.values()):
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


def was_tuned_on(tuned: TunedSettings, qrels: Qrels) -> bool:
    """Whether the settings were chosen on any query of these judgements.

    A query counts as the same if its id and its judgements are the same.
    """
    return not tuned.judged.isdisjoint(judgement_fingerprints(qrels))


def write_tuned_settings(path: Path | str, tuned: TunedSettings) -> None:
    """Writes the file atomically as JSON. Raises PatientDxError if it cannot be written."""
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


def read_tuned_settings(path: Path | str) -> TunedSettings:
    """Reads the file. Raises InputError for a damaged file, another format or a newer version."""
    content = _Fields(path, _parsed(path))
    if content.values.get("format") != FORMAT:
        content.refuse("this is no file of tuned settings")
    if content.get("version", int) > VERSION:
        content.refuse("it was written by a newer version", hint="update PatientDx")
    folds, qrels = content.fields("folds"), content.fields("qrels")
    candidates = [_Fields(path, fields) for fields in content.items("candidates", dict)]
    tuned = TunedSettings(
        measure=content.get("measure", str),
        n=content.get("n", int),
        candidates=tuple(fields.settings() for fields in candidates),
        means=tuple(fields.number("mean") for fields in candidates),
        chosen=content.get("chosen", int),
        fold_choices=tuple(folds.items("choices", int)),
        out_of_fold=content.number("out_of_fold"),
        seed=folds.get("seed", int),
        grouped=folds.get("grouped", bool),
        judged=frozenset(qrels.items("judged", str)),
        notes={name: str(note) for name, note in content.get("notes", dict).items()},
    )
    if not all(0 <= choice < len(candidates) for choice in (tuned.chosen, *tuned.fold_choices)):
        content.refuse("it names a candidate that it does not hold")
    if tuned.settings != content.settings():
        content.refuse("its settings are not those that its figures are of")
    if tuned.qrels_digest != qrels.get("digest", str):
        content.refuse("its list of judged queries does not match its digest")
    return tuned


class _Fields:
    """The values of a JSON object, with checks of their types."""

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

    def settings(self) -> dict[str, SettingValue]:
        values: dict[str, SettingValue] = self.get("settings", dict)
        if not all(map(_is_setting, values.values())):
            self.refuse("`settings` holds something else than words and finite numbers")
        return values


def _is_setting(value: object) -> TypeGuard[SettingValue]:
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
