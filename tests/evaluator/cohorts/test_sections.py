"""Records as text: wording, order, presets, own templates."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import ROOT

pytest.importorskip("pyarrow")

from evaluator.cohorts import (
    PRESETS,
    SECTIONS,
    Measurement,
    Stay,
    join_sections,
    parse_sections,
    read_templates,
    render_stay,
)
from patientdx.errors import InputError, UsageError

TEMPLATES = read_templates()
STAY = Stay(
    "1",
    "2",
    died=True,
    age=70.0,
    sex="F",
    race="WHITE",
    insurance="Medicare",
    diagnosis_codes=("I10", "I50"),
    diagnoses=("Hypertension", "Heart failure"),
    charts=(Measurement("Heart Rate", 2330 / 24), Measurement("pH {mean}", 7.0)),
    medications=(Measurement("Propofol", 2.5), Measurement("Aspirin", math.nan)),
    procedures=("Ventilation", "X-ray"),
    outputs=("Foley",),
)


def test_a_whole_record() -> None:
    assert join_sections(render_stay(STAY, templates=TEMPLATES)) == (
        "The patient white F, 70 years old, covered by Medicare was diagnosed with Hypertension; "
        "Heart failure. The chart events mesured are : 97.083 for Heart Rate; 7.0 for pH {mean}. "
        "The medications administered are :2.5 of Propofol;Aspirin. "
        "The procedures performed are :Ventilation;X-ray. The outputs collected are :Foley."
    )


def test_sections_stand_alone() -> None:
    texts = {
        name: join_sections(render_stay(STAY, (name,), templates=TEMPLATES)) for name in SECTIONS
    }
    assert texts["demographics"] == "The patient white F, 70 years old, covered by Medicare."
    assert texts["diagnoses"] == "The patient is diagnosed with Hypertension; Heart failure."
    assert [
        text.name for text in render_stay(STAY, PRESETS["mortality-hard"], templates=TEMPLATES)
    ] == [
        "charts",
        "medications",
    ]


def test_what_is_unknown_is_left_out() -> None:
    bare = Stay("1", "2", died=False)
    assert render_stay(bare, templates=TEMPLATES) == ()
    assert join_sections(render_stay(replace(bare, age=61.5), templates=TEMPLATES)) == (
        "The patient, 61.5 years old."
    )
    diagnosed = replace(bare, diagnoses=("Gout",))
    assert (
        join_sections(render_stay(diagnosed, templates=TEMPLATES))
        == "The patient is diagnosed with Gout."
    )


def test_decimals() -> None:
    (charts,) = render_stay(STAY, ("charts",), templates=TEMPLATES, decimals=1)
    assert "97.1 for Heart Rate" in charts.text


@given(st.lists(st.sampled_from(SECTIONS), unique=True))
def test_sections_come_in_the_order_of_a_record(chosen: list[str]) -> None:
    names = [text.name for text in render_stay(STAY, chosen, templates=TEMPLATES)]
    assert names == [name for name in SECTIONS if name in chosen]


@given(st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False))
def test_names_with_braces_stay_as_they_are(name: str, mean: float) -> None:
    stay = replace(STAY, medications=(Measurement(name, mean),))
    (text,) = render_stay(stay, ("medications",), templates=TEMPLATES)
    assert text.text == f"The medications administered are :{round(mean, 3)} of {name}. "


def test_names_of_sections() -> None:
    assert parse_sections("mortality") == SECTIONS
    assert parse_sections("mortality-hard") == ("charts", "medications")
    assert parse_sections("outputs, diagnoses") == ("diagnoses", "outputs")
    for wrong in ("", "vitals", "charts,vitals"):
        with pytest.raises(UsageError, match="no such sections") as caught:
            parse_sections(wrong)
        assert "mortality-hard" in str(caught.value.hint)


def test_every_wording_says_where_it_comes_from() -> None:
    for section in SECTIONS:
        status = TEMPLATES[section]["status"]
        assert status.startswith(("seen", "reconstructed"))
    assert "reconstructed" in TEMPLATES["outputs"]["status"]


def test_own_templates(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    shipped = ROOT / "evaluator" / "cohorts" / "templates.toml"
    path.write_text(
        shipped.read_text(encoding="utf-8").replace("mesured are :", "measured were:"),
        encoding="utf-8",
    )
    own = read_templates(path)
    assert "measured were: 97.083" in join_sections(render_stay(STAY, templates=own))
    for text, message in (
        ("[charts]\ntext = 3", "lacks"),
        ("=", "not TOML"),
        ("\udc80", "not TOML"),
    ):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(InputError, match=message):
            read_templates(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_templates(tmp_path / "nowhere.toml")
