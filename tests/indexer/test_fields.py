"""The stored values of metadata fields: filters and facets, also of older segments."""

from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from field_conditions import PREDICATES, VALUES
from hypothesis import given
from hypothesis import strategies as st

from indexer.index import Index
from indexer.segments import columns, field_values
from indexer.segments.columns import value_hash
from indexer.segments.field_values import FieldBuilder, field_of_notes
from indexer.storage.container import ContainerWriter
from indexer.writer import add_patients, build_index, compact_index, delete_patients
from patientdx.conditions import parse_condition
from patientdx.errors import InputError
from patientdx.records import Facet, Filter, Patient

FIELDS = ("los", "ward", "text")


def patients(count: int = 60) -> list[Patient]:
    rnd = Random(7)
    return [
        Patient(
            f"p{i}",
            "fever",
            metadata={
                "los": rnd.choice(VALUES),
                "ward": rnd.choice(["ICU", "HDU", "x" * 300, "y" * 300]),
                **({"text": f"only {i}"} if i % 3 else {}),
            },
            date=rnd.choice(["", "2180-05-06", "2180-06-01"]),
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Three segments, some of whose notes are deleted."""
    folder = tmp_path_factory.mktemp("fields") / "index"
    everyone = patients()
    build_index(folder, everyone[:40])
    add_patients(folder, everyone[40:50])
    add_patients(folder, everyone[50:])
    return delete_patients(folder, ["p3", "p44"])


def write_hashes(writer: ContainerWriter, number: int, field: FieldBuilder, notes: int) -> None:
    """The column of a field as index format version 2 had it."""
    values, codes = field.finish(notes)
    hashes = [0, *(value_hash(value.decode()) for value in values)]
    writer.add(f"field_{number}", np.array(hashes, dtype=np.uint64)[codes])


@pytest.fixture(scope="module")
def old_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields") / "old"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "write_field", write_hashes)
        patch.setattr(field_values, "LONGEST_VALUE", 1_000)
        build_index(folder, patients(20))
    return folder


def passing(index: Index, where: Filter) -> set[str]:
    return {hit.doc_id for hit in index.search("fever", 1000, where)}


def test_segments_of_version_2_pass_the_same_notes(old_folder: Path, tmp_path: Path) -> None:
    old, new = Index.open(old_folder), build_index(tmp_path / "new", patients(20))
    for condition, (field, _) in PREDICATES.items():
        if field == "los":
            where = Filter(conditions=(condition,))
            assert passing(old, where) == passing(new, where)
    texts = Filter(conditions=(parse_condition("ward=ICU,HDU"),))
    assert passing(old, texts) == passing(new, texts)
    pairs = Filter(where=(("ward", "ICU"),), exclude_where=(("los", "17"),))
    assert passing(old, pairs) == passing(new, pairs)
    assert old.facets("los") == new.facets("los")


def test_segments_of_both_versions_search_together(old_folder: Path) -> None:
    add_patients(old_folder, patients(40)[20:])
    both = Index.open(old_folder)
    assert len(both.manifest.segments) == 2
    where = Filter(conditions=(parse_condition("los>=2"), parse_condition("ward=ICU")))
    before = passing(both, where)
    compacted = compact_index(old_folder)
    assert passing(compacted, where) == before
    sections = compacted.manifest.segments[0].file.sections
    assert any(name.startswith("codes_") for name in sections)
    assert not any(name.startswith("field_") for name in sections)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("where", [None, Filter(conditions=(parse_condition("los>=2"),))])
def test_facets_count_patients_and_notes(index: Index, field: str, where: Filter | None) -> None:
    counts: dict[str, int] = defaultdict(int)
    for patient in index.patients():
        if field in patient.metadata and (
            where is None or where.conditions[0].matches(str(patient.metadata["los"]))
        ):
            value = str(patient.metadata[field])
            counts[value if len(value) <= 256 else "(a long text)"] += 1
    expected = [Facet(value, count, count) for value, count in counts.items()]
    assert index.facets(field, where) == sorted(expected, key=lambda f: (-f.notes, f.value))


def test_the_date_of_a_note_is_a_field(index: Index) -> None:
    live = [patient for patient in patients() if patient.patient_id in index]
    assert {facet.value for facet in index.facets("date")} == {p.date for p in live if p.date}
    june = passing(index, Filter(conditions=(parse_condition("date>2180-05"),)))
    assert june == {p.patient_id for p in live if p.date == "2180-06-01"}


def test_values_that_cannot_be_compared_are_counted(index: Index) -> None:
    (counted,) = index.unreadable_values(Filter(conditions=(parse_condition("LOS>=2"),)))
    texts = {"unknown", "a, b", "a"}
    number = sum(patient.metadata["los"] in texts for patient in index.patients())
    assert counted == ("los", number)


def test_long_values_are_compared_whole(index: Index) -> None:
    everyone = {p.patient_id for p in index.patients() if p.metadata["ward"] == "x" * 300}
    assert passing(index, Filter(where=(("ward", "x" * 300),))) == everyone
    assert passing(index, Filter(conditions=(parse_condition(f"ward={'x' * 300}"),))) == everyone


def test_names_of_fields_are_matched_without_regard_to_case(tmp_path: Path) -> None:
    rows = [
        Patient("1", "fever", metadata={"NOTE TYPE": "DS", "Ward": "a", "ward": "b"}),
        Patient("2", "fever", metadata={"CATEGORY": "DS"}),
    ]
    index = build_index(tmp_path / "index", rows)
    assert passing(index, Filter(conditions=(parse_condition("note_type=DS"),))) == {"1"}
    assert passing(index, Filter(conditions=(parse_condition("ward=b"),))) == {"1"}
    with pytest.raises(InputError, match="`WARD` could be `Ward`, `ward`"):
        index.search("fever", 3, Filter(conditions=(parse_condition("WARD=a"),)))
    with pytest.raises(InputError, match="no note has a field `town`") as refusal:
        index.facets("town")
    assert refusal.value.hint == "fields here: CATEGORY, NOTE TYPE, Ward, ward"
    old = build_index(tmp_path / "mimic", rows[1:])
    assert passing(old, Filter(conditions=(parse_condition("note_type=DS"),))) == {"2"}


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.booleans()), max_size=30))
def test_every_note_has_its_own_value(values: list[object]) -> None:
    field = field_of_notes(values)
    for value in values:
        if value is not None:
            expected = [held is not None and str(held) == str(value) for held in values]
            assert field.notes_with(value).tolist() == expected
    assert field.notes_with("not " + "".join(map(str, values))).tolist() == [False] * len(values)
    assert [code > 0 for code in field.codes.tolist()] == [value is not None for value in values]
