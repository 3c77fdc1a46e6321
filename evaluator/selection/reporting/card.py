"""Remarks for the model card of a chosen merge: how its λ was chosen, nothing about any patient."""

import json
from typing import Any

from evaluator.selection.candidates import Candidate
from evaluator.selection.nested_selection import Selection
from evaluator.selection.privacy import PrivateChoice
from patientdx.wording import count_noun

from .report import selection_data


def selection_record(selection: Selection) -> dict[str, Any]:
    """The full record of a selection, in statistics of the cohort."""
    return {"chosen_by": f"validation on {selection.unit}", **selection_data(selection)}


def private_record(choice: PrivateChoice) -> dict[str, Any]:
    """λ, ε and the mechanism with its public parameters; no score, and no number of patients."""
    return {
        "chosen_by": choice.mechanism,
        "chosen": dict(choice.chosen.values),
        "epsilon": str(choice.epsilon),
        "metric": choice.metric,
        "sensitivity": "1 / min(deaths, survivors)"
        if choice.metric == "auroc"
        else "1 / (2 min(deaths, survivors))",
        "candidates": [dict(candidate.values) for candidate in choice.candidates],
        "neighbours": choice.neighbours,
    }


def model_card_remarks(record: dict[str, Any]) -> tuple[str, ...]:
    """Remarks for a model card: a warning if there is one, a sentence, and the record.

    The record is on one line of Markdown.
    """
    shown = json.dumps(record, ensure_ascii=False, allow_nan=False)
    warning = record.get("warning")
    warnings = () if warning is None else (f"Warning: {warning}",)
    return (*warnings, _sentence(record), f"record of the choice: `{shown}`")


def _sentence(record: dict[str, Any]) -> str:
    chosen = str(Candidate.from_values(record["chosen"]))
    if "epsilon" in record:
        return (
            f"λ = {chosen}, drawn by the {record['chosen_by']} with ε = {record['epsilon']}: "
            f"among {count_noun(len(record['candidates']), 'candidate')}, with probability "
            f"proportional to exp(ε u / 2S), u being {record['metric']} and S "
            f"{record['sensitivity']}. "
            f"Here {record['neighbours']}. Each further published choice on the same patients "
            "adds its own ε."
        )
    return (
        f"λ = {chosen}, by {record['metric']} on {record['patients']:,} {record['unit']} "
        f"({record['strategy']}); held out {record['held_out']['value']:.4f}, "
        f"apparent {record['apparent']['value']:.4f}. Naming λ reveals at most "
        f"{record['bits_leaked']:.2f} bits about these {record['unit']}; the figures below "
        "reveal more, without a formal guarantee."
    )
