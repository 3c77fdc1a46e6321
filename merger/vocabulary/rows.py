"""The vocabulary rows of a merge: which tokens the inputs share, and which rows these need."""

from collections.abc import Sequence
from dataclasses import dataclass

from patientdx.errors import MergeError

from .reading import Vocabulary

_REMEDY = (
    "set the vocabulary of the merge in the recipe, `tokenizer: {source: base}` or "
    "`{source: union}`: MergeKit then aligns the rows"
)


@dataclass(frozen=True)
class VocabularyRows:
    """Number of rows of the embeddings and the output layer of a merge, and remarks on it."""

    rows: int
    remarks: tuple[str, ...] = ()


def choose_rows(
    names: Sequence[str], rows: Sequence[int], vocabularies: Sequence[Vocabulary], base: int
) -> VocabularyRows:
    """The number of vocabulary rows of a merge that takes the tokenizer of the base.

    Rows without a token are padding where all tokens are known. If the inputs have different
    numbers of rows, padding beyond the smallest is dropped; all other rows of the base stay, and
    inputs that lack them do not take part there. Raises MergeError if an id stands for different
    tokens, if tokens would be lost, if rows would be lost that may be more than padding, and if
    the base has tokens without a row.
    """
    own = vocabularies[base]
    remarks = compare_vocabularies(names, rows, vocabularies, base)
    chosen = _row_count(rows, own, base)
    for i, other in enumerate(vocabularies):
        if rows[i] > chosen and not _is_padding_beyond(chosen, own, other):
            raise MergeError(
                f"rows {chosen:,} to {rows[i] - 1:,} of {names[i]} would be lost, and may be "
                "more than padding, as its tokens are not known",
                hint=f"list {names[i]} first, put its tokenizer beside its weights, or {_REMEDY}",
            )
    if own.tokens is not None and own.size > chosen:
        first = min(number for number in own.tokens if number >= chosen)
        raise MergeError(
            f"the tokenizer of {names[base]} has {own.size - chosen:,} ids without a row, the "
            f"first is `{own.tokens[first]}`",
            hint="take these tokens out of its tokenizer files, or list another input first",
        )
    remarks += [
        f"the special token {number} of {names[base]} has no row and is not in the merge"
        for number in own.special
        if number >= chosen
    ]
    if len(set(rows)) > 1:
        counts = ", ".join(f"{count:,} in {name}" for name, count in zip(names, rows, strict=True))
        remarks.append(f"vocabulary rows: {counts}; the merge has {chosen:,}")
    return VocabularyRows(chosen, tuple(remarks))


def compare_vocabularies(
    names: Sequence[str], rows: Sequence[int] | None, vocabularies: Sequence[Vocabulary], base: int
) -> list[str]:
    """Remarks on the tokens of the inputs. Raises MergeError if they do not go together.

    `rows` is None if the numbers of rows are not known; they are then the same.
    """
    own = vocabularies[base]
    remarks = tokenizer_remarks(names, vocabularies, base)
    for i, other in enumerate(vocabularies):
        if i != base:
            remarks += _compare(names[base], own, names[i], other, rows[i] if rows else own.size)
    return remarks


def tokenizer_remarks(
    names: Sequence[str], vocabularies: Sequence[Vocabulary], base: int
) -> list[str]:
    """A remark if the base, whose tokenizer the merge takes, has none."""
    if vocabularies[base].has_files:
        return []
    others = [name for name, other in zip(names, vocabularies, strict=True) if other.has_files]
    advice = f"; {others[0]} has one: `tokenizer_source: {others[0]}`" if others else ""
    return [f"{names[base]} has no tokenizer, so the merge has none{advice}"]


def _row_count(rows: Sequence[int], own: Vocabulary, base: int) -> int:
    if len(set(rows)) == 1:
        return rows[0]
    if not own.is_known:
        return max(rows[base], min(own.size, max(rows)))
    # An id in a configuration for which the base has no row belongs to no token.
    special = max((number + 1 for number in own.special if number < rows[base]), default=0)
    return min(max(own.size, special, min(rows)), max(rows))


def _is_padding_beyond(rows: int, own: Vocabulary, other: Vocabulary) -> bool:
    """Whether an input has no tokens beyond these rows, apart from those compared with the base."""
    return other.is_known and (own.is_known or other.size <= rows)


def _compare(base: str, own: Vocabulary, name: str, other: Vocabulary, rows: int) -> list[str]:
    """Remarks on two vocabularies. Raises MergeError if they do not go together.

    `rows` is the number of rows of the other one.
    """
    if own.tokens is None or other.tokens is None:
        return _compare_unread(base, own, name, other)
    shared = own.tokens.keys() & other.tokens.keys()
    changed = [i for i in shared if own.tokens[i] != other.tokens[i]]
    if changed:
        raise MergeError(
            f"{name} has other tokens than {base} at {len(changed):,} ids, "
            f"the first at {min(changed)}",
            hint=_REMEDY,
        )
    lost = sorted(other.tokens.keys() - own.tokens.keys()) if own.complete else []
    real = [other.tokens[i] for i in lost if other.tokens[i] != other.padding]
    if real:
        raise MergeError(
            f"{name} has {len(real):,} tokens that {base} lacks, the first is `{real[0]}`",
            hint=f"list {name} first, or {_REMEDY}",
        )
    remarks = [f"the padding token of {name}, `{other.tokens[i]}`, is dropped" for i in lost]
    gained = own.tokens.keys() - other.tokens.keys() if other.complete else set()
    remarks += _remarks_on_gained(base, name, sorted(gained), rows)
    if _rules_differ(own, other) and not (lost or gained):
        remarks.append(f"{name} and {base} cut text into the same tokens in different ways")
    return remarks


def _compare_unread(base: str, own: Vocabulary, name: str, other: Vocabulary) -> list[str]:
    equal = own.digest and own.digest == other.digest
    if equal or not own.has_files:
        return []
    if not other.has_files:
        return [f"{name} has no tokenizer to compare"]
    return [f"the vocabularies of {base} and {name} could not be compared"]


def _remarks_on_gained(base: str, name: str, gained: Sequence[int], rows: int) -> list[str]:
    alone = sum(number >= rows for number in gained)
    remarks = []
    if alone:
        remarks.append(f"{alone:,} tokens that {name} lacks come from {base} alone")
    if len(gained) > alone:
        remarks.append(
            f"{len(gained) - alone:,} tokens that {name} lacks are merged with its padding rows"
        )
    return remarks


def _rules_differ(own: Vocabulary, other: Vocabulary) -> bool:
    """Whether two tokenizers of one format have different rules; other formats say nothing."""
    return own.digest != other.digest and own.digest.split()[:1] == other.digest.split()[:1]
