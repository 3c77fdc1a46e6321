"""Age and sex out of fields and out of a note's own words. All notes here are invented."""

import csv
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SHARED

from patientdx.formats.demographics import demographics_from_text
from patientdx.formats.values import age_from_field, sex_from_field

SAMPLE = SHARED / "pmc_patients_sample/PMC-Patients-sample.csv"


@pytest.mark.parametrize(
    ("value", "years"),
    [
        ([[60.0, "year"]], 60),
        ([[1.0, "year"], [3.0, "month"]], 1.25),
        ("[[1.0, 'year'], [3.0, 'month']]", 1.25),
        ('[[1.0, "year"], [3.0, "month"]]', 1.25),
        ("[[2, 'week']]", 14 / 365.25),
        ("[[14.0, 'day']]", 14 / 365.25),
        ("[[12.0, 'hour']]", 12 / 8766),
        (45, 45),
        (0.5, 0.5),
        (0, 0),
        ("45", 45),
        (" 45.5 ", 45.5),
        ("3 months", 0.25),
        ("45 years", 45),
        ("45 yrs old", 45),
        ("45y", 45),
    ],
)
def test_ages_of_fields(value: Any, years: float) -> None:
    age = age_from_field(value)
    assert age is not None
    assert age.years == pytest.approx(years)
    assert age.until is None


@pytest.mark.parametrize(
    "value",
    [None, "", [], "[]", "adult", -1, 300, float("nan"), float("inf"), True, {"year": 1}, "-5",
     10**400, "[[1, 'aeon']]", "60 or 70", [[1]],
     "__import__('os')", "[" * 999, "9" * 150, [[1e308, "year"]]],
)  # fmt: skip
def test_ages_that_are_none(value: Any) -> None:
    assert age_from_field(value) is None


@pytest.mark.parametrize("value", ["F", "f", "Female", " woman ", "GIRL"])
def test_female_fields(value: str) -> None:
    assert sex_from_field(value) == "F"


@pytest.mark.parametrize("value", ["M", "male", "Man", "boy"])
def test_male_fields(value: str) -> None:
    assert sex_from_field(value) == "M"


@pytest.mark.parametrize("value", ["", None, 0, 1, "U", "other", "unknown", ["F"]])
def test_unknown_sexes(value: Any) -> None:
    assert sex_from_field(value) is None


NOTES = [
    ("A 44-year-old woman came in.", 44, "F"),
    ("44 year old man with gout", 44, "M"),
    ("A 3-month-old boy", 0.25, "M"),
    ("44 yo F with chest pain", 44, "F"),
    ("44-y/o male", 44, "M"),
    ("A 35 y.o. gentleman", 35, "M"),
    ("45 y/o M w/ CP", 45, "M"),
    ("A 2-week-old infant girl", 14 / 365.25, "F"),
    ("A man aged 67 years fell.", 67, "M"),
    ("She was 67 years of age and well.", 67, "F"),
    ("Thirty-two-year-old teacher; she fell", 32, "F"),
    ("twenty one year old student. She smoked.", 21, "F"),
    ("Forty five-year-old woman", 45, "F"),
    ("ninety-nine-year-old lady", 99, "F"),
    ("A 59\u2010year\u2010old man", 59, "M"),
    ("A 1-year-and-3-month-old girl", 1.25, "F"),
    ("A 4-year and 6-month-old boy", 4.5, "M"),
    ("A 14-and-a-half-year-old boy", 14.5, "M"),
    ("A five-and-a-half-year-old boy", 5.5, "M"),
    ("A 5 1/2-year-old boy", 5.5, "M"),
    ("A 5½-year-old girl", 5.5, "F"),
    ("A 1.5-year-old boy", 1.5, "M"),
    ("72F with AF", 72, "F"),
    ("65M, smoker", 65, "M"),
    ("A newborn girl was admitted", 0, "F"),
    ("The patient, a woman of 58, fell", 58, "F"),
    ("A man of 58 with gout", 58, "M"),
    ("A woman, 45, presented", 45, "F"),
    ("aged 45, he was working", 45, "M"),
    ("Retired teacher, 71, came with his wife. He fell.", 71, "M"),
    ("Age: 56. Sex: male", 56, "M"),
    ("The patient is a 45 years male", 45, "M"),
    ("A male patient (77 years old) fell", 77, "M"),
    ("A healthy boy who was 11 years old", 11, "M"),
    ("Mrs. Example is 70 years old.", 70, "F"),
    ("A 30-year-old primigravida at 32 weeks", 30, "F"),
    ("A 37-year-old G3P2 presented. She bled.", 37, "F"),
    ("A 30-year-old mother of two presented", 30, "F"),
    ("80-year-old with a history of falls", 80, None),
    ("A patient presented after he fell and hurt his knee", None, "M"),
    ("A middle-aged woman", None, "F"),
    ("A 200-year-old woman", None, "F"),
    ("", None, None),
    # other people
    ("A boy whose mother, 34 years old, had died, presented with fever.", None, "M"),
    ("He came with his 34-year-old wife.", None, "M"),
    ("A 28-year-old woman delivered a newborn girl.", 28, "F"),
    ("An infant born to a 34-year-old woman was seen; he cried.", None, "M"),
    ("A male infant was born to a 30-year-old G2P1 woman", None, "M"),
    ("A 60-year-old presented with her husband, a man of 70.", 60, "F"),
    ("The patient received a kidney from a 30-year-old female donor.", None, None),
    ("A 50-year-old patient got a kidney from her brother.", 50, "F"),
    ("His 5-year-old sister was well. The boy had fever.", None, "M"),
    ("A 40-year-old Lapp presented. Her mother, a 70-year-old woman, came.", 40, "F"),
    ("The patient's father was 60 years old", None, None),
    ("A mother brought her child with fever", None, None),
    ("A 44-year-old nurse. Her male colleague called", 44, "F"),
    ("Mrs Example, 37 years old, married to a 47-year-old man", 37, "F"),
    ("The daughter of a 45-year-old man presented", None, None),
    # other times, other things
    ("Since the age of 5 years he had asthma.", None, "M"),
    ("A girl, diagnosed when she was 5 years old, returned.", None, "F"),
    ("A 70-year-old man developed it at 60 years of age", 70, "M"),
    ("A 12-week pregnant woman", None, "F"),
    ("An 8-month pregnant woman aged 30 years", 30, "F"),
    ("A 2-year-old fracture", None, None),
    # groups, and what is not said plainly
    ("12 males and 13 females were studied.", None, None),
    ("Two sisters, 5 and 7 years old", None, None),
    ("patients aged 3 to 5 years", None, None),
    ("The patients were a mean 45 years of age", None, None),
    ("A 45-year-old male-to-female transgender patient", 45, None),
    # headers, and the short forms of wards
    ("Sex:   F\n\nChief Complaint:\nswollen belly", None, "F"),
    ("Sex:   M. Service: surgery. Came with chest pain.", None, "M"),
    ("Name:  ___   Unit No:   ___\n \nDate of Birth:  ___   Sex:   F\n \nService: X", None, "F"),
    ("Gender: female. Seen with her brother.", None, "F"),
    ("Sex: M. His mother, 58 years old, is well.", None, "M"),
    ("Fetal sex: M. A 30-year-old woman", 30, "F"),
    ("Gestational age: 34. Sex: F", None, "F"),
    ("AGE/SEX: 67/F. Came with chest pain.", 67, "F"),
    ("Sex/Age: M/58, with gout", 58, "M"),
    ("Age: 3 months. Sex: M", 0.25, "M"),
    ("___ F with cirrhosis and ascites", None, "F"),
    ("___ year old M with cirrhosis", None, "M"),
    ("89yo F. Found on the floor.", 89, "F"),
    ("61 y.o.M. with chest pain.", 61, "M"),
    ("45-year-old M. Jones presented", 45, None),
    ("45 yo WM with chest pain.", 45, "M"),
    ("70 yo BF with a cough", 70, "F"),
    ("72 yo AF with a fast heart", 72, None),
    ("Patient: male, 58 years, with chest pain.", 58, "M"),
    ("58 years, female, with chest pain.", 58, "F"),
    ("3 y 4 m old girl with a cough.", 3 + 4 / 12, "F"),
    ("2y3m M with a rash", 2.25, "M"),
    ("A 31-year-old nulligravida with pelvic pain.", 31, "F"),
    ("67/F with chest pain", 67, "F"),
    ("F/67 with chest pain", 67, "F"),
    ("M, 58 y, with gout", 58, "M"),
    ("Age 67, Sex M", 67, "M"),
    ("Sex - F. Seen at night.", None, "F"),
    ("Sex: F/M (underline)", None, None),
    ("AGE: 45Y SEX: F", 45, "F"),
    ("Age: 4.5 years. Sex: M", 4.5, "M"),
    ("Age: 12/03/2020", None, None),
    ("primip, 28 y, in labour", 28, "F"),
    # mothers who come with the patient
    ("The 40-year-old mother of a 3-year-old boy with croup brought him in.", None, None),
    ("The 40-year-old mother of a 3-year-old boy brought him. He coughs.", None, "M"),
    ("Mother, 40, brought her 3 year old son with croup.", None, None),
    ("The mother, 40, brought her child.", None, None),
    ("The mother says she slept and she ate; she worries.", None, None),
    ("A 34-year-old woman, mother of a 3-year-old, fell", 34, "F"),
    ("A 30-year-old mother of three young children presented", 30, "F"),
]  # fmt: skip


@pytest.mark.parametrize(("note", "years", "sex"), NOTES)
def test_notes(note: str, years: float | None, sex: str | None) -> None:
    assert demographics_from_text(note) == (
        None if years is None else (pytest.approx(years), None),
        sex,
    )


RANGES = [
    ("A man in his 60s fell on the stairs.", (60, 69), "M"),
    ("She is in her 80s.", (80, 89), "F"),
    ("A woman in her mid-forties presented", (40, 49), "F"),
    ("The patient, who was in his nineties, fell.", (90, 99), "M"),
    ("Age: >89 Sex: F", (90, 120), "F"),
    ("A >89 year old man", (90, 120), "M"),
    ("90+ year old woman", (90, 120), "F"),
    ("[**Age over 90 **] year old man", (90, 120), "M"),
    # of others, or of another time
    ("His father died in his 60s. He has gout.", None, "M"),
    ("A smoker in his 20s, he stopped at 30.", None, "M"),
]  # fmt: skip


@pytest.mark.parametrize(("note", "years", "sex"), RANGES)
def test_ranges_of_notes(note: str, years: tuple[int, int] | None, sex: str) -> None:
    assert demographics_from_text(note) == (years, sex)


FRAGMENTS = [
    *["a", "44", "-", "year", "years", "old", "woman", "man", "his", "mother", "aged", "of", ","],
    *["in", "80s", ">", "+", "mother", "Sex:", "F", "M", "3", "y", "m", "___"],
    *[".", "she", "he", "boy", "two", "half", "and", "1/2", "½", "born", "to", "newborn", "yo"],
]


def test_only_the_beginning_is_looked_at() -> None:
    assert demographics_from_text("x " * 500 + "A 44-year-old woman") == (None, None)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(FRAGMENTS) | st.text(max_size=3),
        max_size=300,
    ).map(" ".join)
)
def test_any_text_gives_possible_values(text: str) -> None:
    age, sex = demographics_from_text(text)
    assert age is None or 0 <= age.years <= (120 if age.until is None else age.until) <= 120
    assert sex in {"F", "M", None}


@pytest.mark.shared
def test_agreement_with_the_columns_of_pmc_patients() -> None:
    if not SAMPLE.is_file():
        pytest.skip("the PMC-Patients sample is absent")
    with SAMPLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    demographics = [demographics_from_text(row["text"]) for row in rows]
    ages = [
        age.years == pytest.approx(stated.years, rel=0.01)
        for (age, _), row in zip(demographics, rows, strict=True)
        if age is not None and (stated := age_from_field(row["age"])) is not None
    ]
    sexes = [sex == row["gender"] for (_, sex), row in zip(demographics, rows, strict=True) if sex]
    assert sum(ages) / len(ages) >= 0.97
    assert sum(sexes) / len(sexes) >= 0.97
    assert min(len(ages), len(sexes)) >= 0.97 * len(rows)
