"""The vocabulary of a model's tokenizer, and the number of vocabulary rows of a merge."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patientdx.errors import MergeError

_REMEDY = (
    "set the vocabulary of the merge in the recipe, `tokenizer: {source: base}` or "
    "`{source: union}`: MergeKit then aligns the rows"
)


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model's tokenizer by id; `tokens` is None if they cannot be read.

    `padding` is the token that fills batches, `digest` the digest of everything that turns text
    into ids, `special` the highest id of a special token in config.json.
    """

    tokens: Mapping[int, str] | None
    padding: str | None = None
    digest: str = ""
    special: int = -1

    @property
    def size(self) -> int:
        """Number of rows that a model needs for these ids; 0 if they are not known."""
        return max(self.tokens, default=-1) + 1 if self.tokens is not None else 0


@dataclass(frozen=True)
class VocabularyRows:
    """Number of rows of the embeddings and the output layer of a merge, and remarks on it."""

    rows: int
    remarks: tuple[str, ...] = ()


def read_vocabulary(folder: Path, config: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a model's folder. Raises MergeError for a tokenizer.json that is broken."""
    special = _highest_special_id(config)
    padding = _read_padding_token(folder)
    path = folder / "tokenizer.json"
    if path.is_file():
        tokens, digest = _read_tokenizer_json(path)
        return Vocabulary(tokens, padding, digest, special)
    if (folder / "tokenizer.model").is_file():
        digest = hashlib.sha256((folder / "tokenizer.model").read_bytes()).hexdigest()
        return Vocabulary(None, padding, digest, special)
    if (folder / "vocab.json").is_file():
        data = (folder / "vocab.json").read_bytes()
        ids = _read_json(folder / "vocab.json") | _read_json(folder / "added_tokens.json")
        tokens = {index: token for token, index in ids.items() if isinstance(index, int)}
        return Vocabulary(tokens, padding, hashlib.sha256(data).hexdigest(), special)
    return Vocabulary(None, padding, "", special)


def choose_rows(
    names: Sequence[str], rows: Sequence[int], vocabularies: Sequence[Vocabulary], base: int
) -> VocabularyRows:
    """The number of vocabulary rows of a merge that takes the tokenizer of the base.

    Rows without a token are padding. If the inputs have different numbers of rows, those beyond
    the smallest are dropped, except for rows that the base's own tokens need; inputs that lack
    these do not take part there. Raises MergeError if an id stands for different tokens, or if
    tokens would be lost.
    """
    own = vocabularies[base]
    remarks: list[str] = []
    for i, other in enumerate(vocabularies):
        if i != base:
            remarks += _compare(names[base], own, names[i], other)
    # An id in config.json for which the base has no row belongs to no token and needs no row.
    needed = max(own.size, own.special + 1 if own.special < rows[base] else 0)
    if len(set(rows)) == 1:
        chosen = rows[0]
    else:
        chosen = min(max(needed, min(rows)), max(rows))
        counts = ", ".join(f"{count:,} in {name}" for name, count in zip(names, rows, strict=True))
        remarks.append(f"vocabulary rows: {counts}; the merge has {chosen:,}")
    if own.size > chosen:
        remarks.append(
            f"the tokenizer of {names[base]} has {own.size - chosen:,} ids without a row"
        )
    return VocabularyRows(chosen, tuple(remarks))


def _compare(base: str, own: Vocabulary, name: str, other: Vocabulary) -> list[str]:
    """Remarks on two vocabularies. Raises MergeError if they do not go together."""
    if own.tokens is None or other.tokens is None:
        if own.digest and own.digest == other.digest:
            return []
        return [f"the vocabularies of {base} and {name} could not be compared"]
    changed = [
        i for i in own.tokens.keys() & other.tokens.keys() if own.tokens[i] != other.tokens[i]
    ]
    if changed:
        raise MergeError(
            f"{name} has other tokens than {base} at {len(changed):,} ids, "
            f"the first at {min(changed)}",
            hint=_REMEDY,
        )
    lost = sorted(other.tokens.keys() - own.tokens.keys())
    real = [other.tokens[i] for i in lost if other.tokens[i] != other.padding]
    if real:
        raise MergeError(
            f"{name} has {len(real):,} tokens that {base} lacks, the first is `{real[0]}`",
            hint=f"list {name} first, or {_REMEDY}",
        )
    remarks = [f"the padding token of {name}, `{other.tokens[i]}`, is dropped" for i in lost]
    gained = sorted(own.tokens.keys() - other.tokens.keys())
    if gained:
        remarks.append(f"{len(gained):,} tokens that {name} lacks come from {base} alone")
    if own.digest != other.digest and not (lost or gained):
        remarks.append(f"{name} and {base} cut text into the same tokens in different ways")
    return remarks


def _read_tokenizer_json(path: Path) -> tuple[Mapping[int, str], str]:
    data = _read_json(path)
    model = data.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    tokens: dict[int, str] = {}
    if isinstance(vocabulary, dict):
        tokens = {index: token for token, index in vocabulary.items()}
    elif isinstance(vocabulary, list):  # Unigram: pieces with their scores
        tokens = {index: str(piece[0]) for index, piece in enumerate(vocabulary)}
    else:
        raise MergeError(f"{path}: has no vocabulary", hint="fetch the model again")
    for added in data.get("added_tokens") or ():
        tokens[int(added["id"])] = str(added["content"])
    rules = [data.get(key) for key in ("model", "normalizer", "pre_tokenizer")]
    digest = hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
    return tokens, digest


def _highest_special_id(config: Mapping[str, Any]) -> int:
    """The highest id of a special token in config.json; -1 if there is none."""
    values = [config.get(f"{name}_token_id") for name in ("bos", "eos", "pad")]
    ids = [i for value in values for i in (value if isinstance(value, list) else [value])]
    return max((i for i in ids if isinstance(i, int)), default=-1)


def _read_padding_token(folder: Path) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        with suppress(MergeError):
            token = _read_json(folder / name).get("pad_token")
            if token:
                return str(token["content"] if isinstance(token, dict) else token)
    return None


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MergeError(f"{path}: cannot be read", hint="fetch the model again") from error
    if not isinstance(content, dict):
        raise MergeError(f"{path}: is not a JSON object", hint="fetch the model again")
    return content
