"""The tables of MIMIC-IV (1.0 to 3.x) and MIMIC-III, under the same names."""

from collections.abc import Mapping

from .tables import SourceTable

_ITEM = ("itemid",)
_DIAGNOSES = "records have no diagnoses"
_TITLES = "diagnoses are shown by their codes"
_LABELS = "quantities are shown by their numbers"
_CHARTS = "records have no chart events"
_MEDICATIONS = "records have no medications"
_PROCEDURES = "records have no procedures"
_OUTPUTS = "records have no output events"

MIMIC_IV: Mapping[str, SourceTable] = {
    "stays": SourceTable(
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
    "patients": SourceTable(
        "patients",
        {
            "subject_id": ("subject_id",),
            "sex": ("gender",),
            "age": ("anchor_age",),
            "dod": ("dod",),
        },
        constants={"birth": "NULL::VARCHAR"},
    ),
    "admissions": SourceTable(
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
    "diagnoses": SourceTable(
        "diagnoses_icd",
        {
            "hadm_id": ("hadm_id",),
            "position": ("seq_num",),
            "code": ("icd_code",),
            "version": ("icd_version",),
        },
        missing_note=_DIAGNOSES,
    ),
    "titles": SourceTable(
        "d_icd_diagnoses",
        {"code": ("icd_code",), "version": ("icd_version",), "title": ("long_title",)},
        missing_note=_TITLES,
    ),
    "items": SourceTable("d_items", {"item": _ITEM, "label": ("label",)}, missing_note=_LABELS),
    "charts": SourceTable(
        "chartevents",
        {
            "stay_id": ("stay_id",),
            "time": ("charttime",),
            "item": _ITEM,
            "value": ("valuenum",),
            "unit": ("valueuom",),
        },
        missing_note=_CHARTS,
        constants={"error": "NULL::VARCHAR"},
    ),
    "medications": SourceTable(
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
        missing_note=_MEDICATIONS,
    ),
    "procedures": SourceTable(
        "procedureevents",
        {"stay_id": ("stay_id",), "time": ("starttime",), "item": _ITEM},
        missing_note=_PROCEDURES,
    ),
    "outputs": SourceTable(
        "outputevents",
        {"stay_id": ("stay_id",), "time": ("charttime",), "item": _ITEM},
        missing_note=_OUTPUTS,
    ),
}

MIMIC_III: Mapping[str, SourceTable] = {
    "stays": SourceTable(
        "icustays",
        {**MIMIC_IV["stays"].columns, "stay_id": ("icustay_id",)},
        optional=frozenset({"unit"}),
    ),
    "patients": SourceTable(
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
    "diagnoses": SourceTable(
        "diagnoses_icd",
        {"hadm_id": ("hadm_id",), "position": ("seq_num",), "code": ("icd9_code",)},
        missing_note=_DIAGNOSES,
        constants={"version": "'9'"},
    ),
    "titles": SourceTable(
        "d_icd_diagnoses",
        {"code": ("icd9_code",), "title": ("long_title",)},
        missing_note=_TITLES,
        constants={"version": "'9'"},
    ),
    "items": MIMIC_IV["items"],
    "charts": SourceTable(
        "chartevents",
        {
            **MIMIC_IV["charts"].columns,
            "stay_id": ("icustay_id",),
            "error": ("error",),
        },
        missing_note=_CHARTS,
        optional=frozenset({"error"}),
    ),
    "metavision": SourceTable(
        "inputevents_mv",
        {**MIMIC_IV["medications"].columns, "stay_id": ("icustay_id",)},
        missing_note="records have no medications charted in MetaVision",
    ),
    "carevue": SourceTable(
        "inputevents_cv",
        {
            "stay_id": ("icustay_id",),
            "time": ("charttime",),
            "item": _ITEM,
            "order_id": ("linkorderid", "orderid"),
            "amount": ("amount",),
            "rate": ("rate",),
        },
        missing_note="records have no medications charted in CareVue",
    ),
    "procedures": SourceTable(
        "procedureevents_mv",
        {"stay_id": ("icustay_id",), "time": ("starttime",), "item": _ITEM},
        missing_note=_PROCEDURES,
    ),
    "outputs": SourceTable(
        "outputevents",
        {"stay_id": ("icustay_id",), "time": ("charttime",), "item": _ITEM},
        missing_note=_OUTPUTS,
    ),
}
