"""The columns of a source that hold ids, note, title, age, sex and date, by their names.

Names are compared without regard to case and separators: `Patient ID`, `patient_id` and
`PATIENT-ID` are the same. Columns are recognised where their names leave no doubt, as those of
PMC-Patients, BEIR, MIMIC and OMOP; of several candidates none is taken.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

_DOCUMENT_IDS = frozenset({"noteid", "rowid", "docid", "documentid"})
_PATIENT_IDS = frozenset({"subjectid", "personid"})
_UNSURE_PATIENT_IDS = frozenset({"patientid", "mrn", "medicalrecordnumber"})
_PMC_ID = "patientuid"
_TEXTS = frozenset({"text", "note", "contents", "notetext"})
_PMC_TEXT = "patient"
_AGES = frozenset(
    {
        "age",
        "ageyears",
        "ageinyears",
        "patientage",
        "ageatadmission",
        "ageatvisit",
        "alter",
        "alterjahre",
        "alterinjahren",
    }
    | {"edad", "eta", "leeftijd"}
)
_SEXES = frozenset(
    {"sex", "gender", "patientsex", "patientgender", "geschlecht", "sexe", "sexo", "genere"}
    | {"sesso", "geslacht"}
)
# A date and time comes before the date beside it, which stands where the time is unknown.
_DATES = (("charttime", "chartdate"), ("notedatetime", "notedate"), ("datetime", "date"))


class ColumnsError(ValueError):
    """Columns that do not say which holds what; `hint` is what to do about it."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


@dataclass(frozen=True)
class NamedColumns:
    """Columns named by the user; None for those to recognise by their names.

    `id` is that of the note where patients may have several, which `patient` distinguishes. A
    `patient` that is the `id` says that every note is a patient.
    """

    id: str | None = None
    text: str | None = None
    title: str | None = None
    patient: str | None = None
    age: str | None = None
    sex: str | None = None
    date: str | None = None

    def optional(self) -> list[tuple[str, str]]:
        """(what it holds, name) of those that a row may lack."""
        held = (("title", self.title), ("age", self.age), ("sex", self.sex), ("date", self.date))
        return [(role, name) for role, name in held if name is not None]


@dataclass(frozen=True)
class Columns:
    """Columns by what they hold. `patient` is None where each note is a patient.

    The note is dated by the first of `dates` that has a value. `id_of_note` is True where the id
    is known to be a note's and no patient's. `error_mark` is 1 in MIMIC-III's erroneous notes.
    """

    id: str
    text: str
    patient: str | None = None
    title: str | None = None
    age: str | None = None
    sex: str | None = None
    dates: tuple[str, ...] = ()
    is_pmc: bool = False
    id_of_note: bool = False
    error_mark: str | None = None

    def by_role(self) -> dict[str, str]:
        """The names of the columns by what they hold, without those that are missing."""
        held = {
            "id": self.id,
            "patient": self.patient,
            "note": self.text,
            "title": self.title,
            "age": self.age,
            "sex": self.sex,
            "date": ", ".join(self.dates) or None,
        }
        return {role: name for role, name in held.items() if name is not None}


@dataclass(frozen=True)
class _Names:
    """The names of a source's columns, and the columns that have a plain name."""

    names: Sequence[str]
    by_plain: Mapping[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        by_plain: dict[str, list[str]] = {}
        for name in self.names:
            by_plain.setdefault(plain_name(name) or name, []).append(name)
        object.__setattr__(self, "by_plain", by_plain)

    def with_plain(self, plain: Iterable[str]) -> list[str]:
        """The columns that have one of some plain names, in their order."""
        wanted = frozenset(plain)
        return [name for name in self.names if plain_name(name) in wanted]

    def has(self, plain: str) -> bool:
        return plain in self.by_plain

    def named(self, name: str | None, *, sparse: bool = False) -> str | None:
        """The column that the user named, None without one, or if a `sparse` source lacks it.

        Raises ColumnsError if there is none, or are several.
        """
        if name is None or name in self.names:
            return name
        same = self.by_plain.get(plain_name(name) or name, [])
        if len(same) > 1:
            raise ColumnsError(f"`{name}` may be {_either(same)}", "write its case and separators")
        if not same and not sparse:
            raise ColumnsError(f"no field `{name}`")
        return same[0] if same else None

    def only(self, what: str, option: str, candidates: list[str]) -> str | None:
        """The candidate for a role; None without one. Raises ColumnsError for several."""
        if len(candidates) > 1:
            hint = " or ".join(f"{option} {_quoted(name)}" for name in candidates)
            raise ColumnsError(f"which field is {what}: {_either(candidates)}?", f"name it: {hint}")
        return candidates[0] if candidates else None


def plain_name(name: str) -> str:
    """The name of a column without case, accents and separators."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in decomposed if letter.isalnum())


def resolve_columns(available: Sequence[str], user: NamedColumns, *, sparse: bool) -> Columns:
    """The columns of a source by the names in its first row.

    In `sparse` sources (JSON) rows need not have those named for title, age, sex and date. Raises
    ColumnsError for what is missing or not clear.
    """
    names = _Names(available)
    named_text = names.named(user.text)
    note_id, patient = _ids(names, names.named(user.id), names.named(user.patient))
    required = Columns(
        id=note_id,
        text=_text(names) if named_text is None else named_text,
        patient=None if patient == note_id else patient,
        is_pmc=names.has(_PMC_ID) and names.has("pmid"),
        error_mark=_error_mark(names),
        id_of_note=note_id == "_id" or plain_name(note_id) in {*_DOCUMENT_IDS, _PMC_ID},
    )
    return _with_optional(required, names, user, sparse=sparse)


def _error_mark(names: _Names) -> str | None:
    marks = names.with_plain({"iserror"})
    return marks[0] if len(marks) == 1 and names.has("rowid") else None


def columns_of_row(first: Columns, available: Sequence[str], user: NamedColumns) -> Columns:
    """The columns of a later row of a sparse source, whose ids and note are where the first's are.

    Raises ColumnsError for what is not clear.
    """
    names = _Names(available)
    late = [name for name in names.with_plain(_PATIENT_IDS) if name != first.id]
    if first.patient is None and user.patient is None and late:
        problem = f"field `{late[0]}` is missing in the first row"
        raise ColumnsError(problem, f"name it with --patient-field {_quoted(late[0])}")
    return _with_optional(first, names, user, sparse=True)


def _with_optional(
    required: Columns, names: _Names, user: NamedColumns, *, sparse: bool
) -> Columns:
    def column(named: str | None, what: str, option: str, plain: frozenset[str]) -> str | None:
        if named is not None:
            return names.named(named, sparse=sparse)
        return names.only(what, option, [n for n in names.with_plain(plain) if n not in taken])

    taken = {required.id, required.text, required.patient}
    # PMC-Patients: the title is that of the article, which a search must not see.
    titles: frozenset[str] = frozenset() if required.is_pmc else frozenset({"title"})
    return replace(
        required,
        title=column(user.title, "the title", "--title-field", titles),
        age=column(user.age, "the age", "--age-field", _AGES),
        sex=column(user.sex, "the sex", "--sex-field", _SEXES),
        dates=_dates(names, user.date, sparse=sparse),
    )


def _ids(names: _Names, named_id: str | None, named_patient: str | None) -> tuple[str, str]:
    """The columns of the note's and the patient's id, which may be the same."""
    if named_id is not None and named_patient is not None:
        return named_id, named_patient
    if named_patient is not None:
        note_id = _note_id(names, but=named_patient)
        return named_patient if note_id is None else note_id, named_patient
    if named_id is not None and _is_patients(named_id):
        documents = names.with_plain(_DOCUMENT_IDS)
        return names.only("the id of the note", "--id-field", documents) or named_id, named_id
    note_id = _note_id(names) if named_id is None else named_id
    patients = names.with_plain(_PATIENT_IDS | _UNSURE_PATIENT_IDS)
    if note_id is None:
        alone = names.only("the id", "--id-field", patients)
        if alone is None:
            raise ColumnsError("which field is the id?")
        return alone, alone
    beside = _patient_beside(names, note_id, patients)
    return note_id, note_id if beside is None else beside


def _is_patients(name: str) -> bool:
    return plain_name(name) in _PATIENT_IDS | _UNSURE_PATIENT_IDS


def _note_id(names: _Names, but: str | None = None) -> str | None:
    """The column of the note's id, which is no patient's id; None without one."""
    for sure in ([name for name in names.names if name == "_id"], names.with_plain({_PMC_ID})):
        if sure and sure[0] != but:
            return sure[0]
    candidates = [name for name in names.with_plain({*_DOCUMENT_IDS, "id"}) if name != but]
    return names.only("the id of the note", "--id-field", candidates)


def _patient_beside(names: _Names, note_id: str, patients: list[str]) -> str | None:
    """The column of the patient's id beside the one of the note."""
    if plain_name(note_id) == _PMC_ID:
        # Its patient_id numbers the rows.
        patients = [name for name in patients if plain_name(name) not in _UNSURE_PATIENT_IDS]
    patient = names.only("the patient's id", "--patient-field", patients)
    is_documents = note_id == "_id" or plain_name(note_id) in _DOCUMENT_IDS
    if patient is None or is_documents or plain_name(patient) in _PATIENT_IDS:
        return patient
    several, single = f"--patient-field {_quoted(patient)}", f"--patient-field {_quoted(note_id)}"
    raise ColumnsError(
        f"are patients distinguished by {_either([note_id, patient])}?",
        f"{several} where a patient may have several notes, {single} where every row is a patient",
    )


def _text(names: _Names) -> str:
    texts = names.with_plain(_TEXTS)
    if names.has(_PMC_ID):
        texts += names.with_plain({_PMC_TEXT})
    if "_id" in names.names and "text" in texts:
        return "text"
    text = names.only("the note", "--text-field", texts)
    if text is None:
        raise ColumnsError("which field is the note?")
    return text


def _dates(names: _Names, named: str | None, *, sparse: bool) -> tuple[str, ...]:
    if named is not None:
        name = names.named(named, sparse=sparse)
        return (name,) if name is not None else ()
    families = [present for family in _DATES if (present := _date_family(names, family))]
    names.only("the date", "--date-field", [family[0] for family in families])
    return families[0] if families else ()


def _date_family(names: _Names, family: Sequence[str]) -> tuple[str, ...]:
    members = [names.only("the date", "--date-field", names.with_plain({p})) for p in family]
    return tuple(member for member in members if member is not None)


def _either(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _quoted(name: str) -> str:
    """A name as a word of a shell."""
    from shlex import quote

    return quote(name)
