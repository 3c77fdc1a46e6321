"""The tables of MIMIC-IV (1.0 to 3.x) and MIMIC-III, under our names."""

from collections.abc import Mapping

from .tables import Table

_ITEM = ("itemid",)
_DIAGNOSES = "records tell no diagnoses"
_TITLES = "diagnoses are told by their codes"
_LABELS = "quantities are told by their numbers"
_CHARTS = "records tell no chart events"
_MEDICATIONS = "records tell no medications"
_PROCEDURES = "records tell no procedures"
_OUTPUTS = "records tell no output events"

MIMIC_IV: Mapping[str, Table] = {
    "stays": Table(
        "icustays",
        {
            "stay_id": ("stay_id",),
            "subject_id": ("subject_id",),
            "hadm_id": ("hadm_id",),
            "start": ("intime",),
            "finish": ("outtime",),
            "unit": ("first_careunit",),
        },
        optional=frozenset({"unit"}),
    ),
    "patients": Table(
        "patients",
        {
            "subject_id": ("subject_id",),
            "sex": ("gender",),
            "age": ("anchor_age",),
            "dod": ("dod",),
        },
        constants={"birth": "NULL::VARCHAR"},
    ),
    "admissions": Table(
        "admissions",
        {
            "hadm_id": ("hadm_id",),
            "subject_id": ("subject_id",),
            "discharge": ("dischtime",),
            "race": ("race", "ethnicity"),
            "insurance": ("insurance",),
        },
        optional=frozenset({"race", "insurance"}),
    ),
    "diagnoses": Table(
        "diagnoses_icd",
        {
            "hadm_id": ("hadm_id",),
            "position": ("seq_num",),
            "code": ("icd_code",),
            "version": ("icd_version",),
        },
        without=_DIAGNOSES,
    ),
    "titles": Table(
        "d_icd_diagnoses",
        {"code": ("icd_code",), "version": ("icd_version",), "title": ("long_title",)},
        without=_TITLES,
    ),
    "items": Table("d_items", {"item": _ITEM, "label": ("label",)}, without=_LABELS),
    "charts": Table(
        "chartevents",
        {
            "stay_id": ("stay_id",),
            "time": ("charttime",),
            "item": _ITEM,
            "value": ("valuenum",),
            "unit": ("valueuom",),
        },
        without=_CHARTS,
        constants={"error": "NULL::VARCHAR"},
    ),
    "medications": Table(
        "inputevents",
        {
            "stay_id": ("stay_id",),
            "start": ("starttime",),
            "finish": ("endtime",),
            "item": _ITEM,
            "order_id": ("orderid",),
            "amount": ("amount",),
            "rate": ("rate",),
        },
        without=_MEDICATIONS,
    ),
    "procedures": Table(
        "procedureevents",
        {"stay_id": ("stay_id",), "time": ("starttime",), "item": _ITEM},
        without=_PROCEDURES,
    ),
    "outputs": Table(
        "outputevents",
        {"stay_id": ("stay_id",), "time": ("charttime",), "item": _ITEM},
        without=_OUTPUTS,
    ),
}

MIMIC_III: Mapping[str, Table] = {
    "stays": Table(
        "icustays",
        {**MIMIC_IV["stays"].columns, "stay_id": ("icustay_id",)},
        optional=frozenset({"unit"}),
    ),
    "patients": Table(
        "patients",
        {
            "subject_id": ("subject_id",),
            "sex": ("gender",),
            "birth": ("dob",),
            "dod": ("dod",),
        },
        constants={"age": "NULL::VARCHAR"},
    ),
    "admissions": MIMIC_IV["admissions"],
    "diagnoses": Table(
        "diagnoses_icd",
        {"hadm_id": ("hadm_id",), "position": ("seq_num",), "code": ("icd9_code",)},
        without=_DIAGNOSES,
        constants={"version": "'9'"},
    ),
    "titles": Table(
        "d_icd_diagnoses",
        {"code": ("icd9_code",), "title": ("long_title",)},
        without=_TITLES,
        constants={"version": "'9'"},
    ),
    "items": MIMIC_IV["items"],
    "charts": Table(
        "chartevents",
        {
            **MIMIC_IV["charts"].columns,
            "stay_id": ("icustay_id",),
            "error": ("error",),
        },
        without=_CHARTS,
        optional=frozenset({"error"}),
    ),
    "metavision": Table(
        "inputevents_mv",
        {**MIMIC_IV["medications"].columns, "stay_id": ("icustay_id",)},
        without="records tell no medications charted in MetaVision",
    ),
    "carevue": Table(
        "inputevents_cv",
        {
            "stay_id": ("icustay_id",),
            "time": ("charttime",),
            "item": _ITEM,
            "order_id": ("linkorderid", "orderid"),
            "amount": ("amount",),
            "rate": ("rate",),
        },
        without="records tell no medications charted in CareVue",
    ),
    "procedures": Table(
        "procedureevents_mv",
        {"stay_id": ("icustay_id",), "time": ("starttime",), "item": _ITEM},
        without=_PROCEDURES,
    ),
    "outputs": Table(
        "outputevents",
        {"stay_id": ("icustay_id",), "time": ("charttime",), "item": _ITEM},
        without=_OUTPUTS,
    ),
}
