"""Names of retrieval measures, spelled as ir_measures spells them (`nDCG@10`, `P(rel=2)@5`)."""

import re
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from patientdx.errors import EvaluationError

if TYPE_CHECKING:
    from ir_measures import Measure

DEFAULT_MEASURES = ("RR", "P@10", "nDCG@10", "R@1000")
"""The measures of the PMC-Patients leaderboard."""

EXAMPLES = ("RR", "RR@10", "P@10", "nDCG@10", "R@1000", "AP", "Rprec", "Success@5", "P(rel=2)@5")
"""Example names for error messages and help."""

_HINT = f"names are those of ir_measures, such as {', '.join(EXAMPLES)}"
_PLAIN = re.compile(r"(\w+)(?:@(\d+))?")
_GREATEST_CUTOFF = 10**9  # trec_eval holds it in a C integer

GREATEST_GRADE = 1000
"""Above it, pytrec_eval takes quadratic time, and from 2**31 on its results are wrong."""


def load_ir_measures() -> ModuleType:
    """The package ir_measures, without the stderr log handler that it adds on import."""
    import ir_measures

    ir_measures.logger.removeHandler(ir_measures.log_handler)
    return ir_measures


def split_measures(text: str) -> list[str]:
    """The names of measures in a text, parted by commas or white space outside brackets."""
    names, depth = [""], 0
    for sign in text:
        depth = max(0, depth + (sign in "([{") - (sign in ")]}"))
        if depth == 0 and (sign == "," or sign.isspace()):
            names.append("")
        else:
            names[-1] += sign
    return [name for name in names if name]


def parse_measure(name: str) -> "Measure":
    """The measure of a name. Raises EvaluationError for an unknown or unsupported measure.

    Supported is what trec_eval can compute and average over queries, and reciprocal rank with a
    cutoff, which is derived from it.
    """
    measure = _parsed(name.strip())
    _check_parameters(name, measure)
    _check_offered(name, measure)
    return measure


def parse_measures(names: Sequence[str]) -> tuple[str, ...]:
    """The canonical names, each once (`MRR` is `RR`). Raises EvaluationError as `parse_measure`."""
    if not names:
        raise EvaluationError("no measure was named", hint=_HINT)
    return tuple(dict.fromkeys(str(parse_measure(name)) for name in names))


def required_depth(measures: Sequence[str]) -> int:
    """The greatest cutoff of the measures; 0 if none has a cutoff.

    `RR` needs no depth: the engine counts its exact rank. `AP` and other measures without cutoff
    use all hits of a run.
    """
    return max((measure_cutoff(parse_measure(name)) or 0 for name in measures), default=0)


def measure_cutoff(measure: "Measure") -> int | None:
    """The last rank that a measure reads; None without a cutoff."""
    cutoff = measure.params.get("cutoff")
    return None if cutoff is None else int(cutoff)


def _parsed(name: str) -> "Measure":
    known = load_ir_measures().measures.registry
    # ir_measures <= 0.4.3 parses with ast.Num, which Python 3.14 lacks (its issue 80): plain
    # names avoid its parser.
    if plain := _PLAIN.fullmatch(name):
        if plain[1] not in known:
            raise _unknown(name)
        measure: Measure = known[plain[1]]
        return measure @ int(plain[2]) if plain[2] else measure
    return _parsed_expression(name)


def _parsed_expression(name: str) -> "Measure":
    try:
        measure: Measure = load_ir_measures().parse_measure(name)
    except (ValueError, NameError, TypeError, AttributeError) as error:
        raise _unknown(name) from error
    return measure


def _check_parameters(name: str, measure: "Measure") -> None:
    """Raises EvaluationError for unknown, invalid and missing parameters."""
    allowed = measure.SUPPORTED_PARAMS
    unknown = measure.params.keys() - allowed.keys()
    # ParamInfo.validate uses its own marker, not None, for "absent": call it with values only.
    wrong = {key for key in measure.params.keys() - unknown if not _fits(measure, key)}
    missing = {key for key, info in allowed.items() if info.required} - measure.params.keys()
    if unknown:
        raise EvaluationError(f"measure `{name}` takes no `{min(unknown)}`", hint=_HINT)
    if wrong:
        raise EvaluationError(f"measure `{name}` cannot have that {min(wrong)}", hint=_HINT)
    if missing:
        raise EvaluationError(
            f"measure `{name}` needs a {min(missing)}",
            hint=f"write for instance `{measure.NAME}@10`",
        )


def _fits(measure: "Measure", key: str) -> bool:
    value = measure.params[key]
    if key == "cutoff":
        return _is_whole(value, 1, _GREATEST_CUTOFF)
    if key == "rel":
        return _is_whole(value, 1, GREATEST_GRADE)
    if key == "gains":
        return isinstance(value, dict) and all(
            _is_whole(number, 0, GREATEST_GRADE) for number in [*value, *value.values()]
        )
    if key == "recall":
        # ir_measures passes it on with two decimals: more would give another measure.
        return isinstance(value, float) and 0 <= value <= 1 and value == round(value, 2)
    info: Any = measure.SUPPORTED_PARAMS[key]
    return bool(info.validate(value))


def _is_whole(value: object, least: int, greatest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= greatest


def _check_offered(name: str, measure: "Measure") -> None:
    ir_measures = load_ir_measures()
    averaged = isinstance(measure.aggregator(), ir_measures.MeanAgg)
    computed = ir_measures.pytrec_eval.supports(without_cutoff(measure))
    # infAP needs negative grades, which pytrec_eval does not handle reliably (evaluation.py).
    if measure.NAME == "infAP" or not (averaged and computed):
        raise EvaluationError(f"measure `{name}` is not offered here", hint=_HINT)


def without_cutoff(measure: "Measure") -> "Measure":
    """The measure itself, but reciprocal rank without its cutoff.

    trec_eval has no reciprocal rank with a cutoff, and the one that ir_measures computes itself
    breaks ties the other way round (doc_id ascending).
    """
    if measure.NAME != "RR":
        return measure
    return type(measure)(**{key: value for key, value in measure.params.items() if key != "cutoff"})


def _unknown(name: str) -> EvaluationError:
    return EvaluationError(f"`{name}` is not the name of a measure", hint=_HINT)
