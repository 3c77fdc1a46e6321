"""What was understood of a corpus: its columns, and ages, sexes and dates."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from patientdx.errors import InputError
from patientdx.records import Patient

from .columns import Columns, NamedColumns
from .value_maps import Role, ValueMaps
from .values import DOUBTFUL_BESIDE_M

_ROLES: tuple[Role, ...] = ("age", "sex", "date")
_SHORT = 20  # characters; a longer value may hold words of a note and is only counted
_MOST_VALUES = 10_000  # different values that are counted one by one
_MOST_SHOWN = 10
_FIELD, _WORDS = 1, 2  # where a value comes from


@dataclass
class CorpusSummary:
    """Counts of what was understood while a corpus was read; complete once it is read to the end.

    `separator` stands between the cells of a table; it is "" for JSON.
    """

    separator: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    notes: int = 0
    _several: dict[str, int] = field(default_factory=dict, repr=False)
    _single: Counter[int] = field(default_factory=Counter, repr=False)
    _not_understood: dict[Role, Counter[str]] = field(default_factory=dict, repr=False)
    _has_m: bool = False

    def begin(self, columns: Columns, separator: str) -> None:
        """Takes the columns of the first row, and the separator of a table."""
        self.separator = separator
        self.add_columns(columns)

    def add_columns(self, columns: Columns) -> None:
        """Takes the columns of a row; those of the first stay."""
        for role, name in columns.by_role().items():
            self.columns.setdefault(role, name)

    def add(self, patient: Patient) -> None:
        """Counts a note that was read."""
        self.notes += 1
        known = (patient.age_years, patient.sex, patient.date or None)
        bits = 0
        for place, name in enumerate(("age_years", "sex", "date")):
            if known[place] is not None:
                bits |= (_WORDS if name in patient.derived else _FIELD) << (2 * place)
        if patient.note_id:
            self._several[patient.patient_id] = self._several.get(patient.patient_id, 0) | bits
        else:
            self._single[bits] += 1

    def note_value(self, role: Role, value: Any, *, understood: bool) -> None:
        """Counts a value of a field if it was not understood."""
        if understood:
            self._has_m |= role == "sex" and str(value).strip() in {"m", "M"}
            return
        text = str(value).strip()
        counts = self._not_understood.setdefault(role, Counter())
        shown = len(text) <= _SHORT and text.isprintable()
        counts[text if shown and (text in counts or len(counts) < _MOST_VALUES) else ""] += 1

    def check(self, name: str, user: NamedColumns, maps: ValueMaps) -> None:
        """Raises InputError at a source's end for columns that it lacks, and sexes in doubt."""
        lacking = [(role, column) for role, column in user.optional() if role not in self.columns]
        if self.notes and lacking:
            problem = f"no row has a field `{lacking[0][1]}`"
            raise InputError(f"{name}: {problem}", hint="check its spelling")
        mapped = [role for role in maps.meanings if role not in self.columns]
        if self.notes and mapped:
            hint = f"name it with --{mapped[0]}-field, or leave --map out"
            raise InputError(f"{name}: no field holds the {mapped[0]} that --map is for", hint=hint)
        values = list(self._not_understood.get("sex", ()))
        beside = next((value for value in values if value.lower() in DOUBTFUL_BESIDE_M), None)
        if self._has_m and beside is not None:
            raise InputError(
                f"{name}: sexes are `M` and `{beside}`, which of them are women?",
                hint=f"--map sex:M=M,{beside}=F or --map sex:M=F,{beside}=M",
            )

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self._several) + self._single.total()

    def facts(self) -> dict[str, Any]:
        """The counts as `index info` shows them, of patients where nothing else is said."""
        facts: dict[str, Any] = {"patients": self.patients, "notes": self.notes}
        facts["columns"] = dict(self.columns)
        if self.separator:
            facts["separator"] = self.separator
        by_bits = Counter(self._several.values()) + self._single
        for place, role in enumerate(_ROLES):
            origins = Counter[int]()
            for bits, patients in by_bits.items():
                origins[bits >> (2 * place) & 3] += patients
            fields = origins[_FIELD] + origins[_FIELD | _WORDS]
            facts[role] = {"fields": fields, "words": origins[_WORDS]}
        facts["not_understood"] = {
            role: _most_frequent(counts) for role, counts in self._not_understood.items()
        }
        return facts


def _most_frequent(counts: Counter[str]) -> dict[str, int]:
    """The most frequent values with their counts; "" has all others, and those too long to show."""
    shown = Counter({value: number for value, number in counts.items() if value})
    most = dict(sorted(shown.items(), key=lambda item: (-item[1], item[0]))[:_MOST_SHOWN])
    rest = counts.total() - sum(most.values())
    return most | ({"": rest} if rest else {})
