"""BPE of SentencePiece, as Llama 2, Mistral 7B and Gemma have it, as metadata of a GGUF file.

llama.cpp merges the neighbours whose union has the highest score, for every union in the
vocabulary; tokenizer.json lists the merges in order instead. The two are the same where each token
has all its merges, next to each other: then a token's score is minus the place of its merges.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from patientdx.errors import MergeError

from .container import Metadata
from .sentencepiece_file import Piece, SentencePieceModel, read_sentencepiece
from .token_list import TokenKind, TokenList
from .tokenizer_files import TokenizerFiles

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
_REMARK = (
    "llama.cpp puts a blank before text that follows a special token or begins with a blank, as "
    "this tokenizer does not: such texts are read differently by the GGUF file"
)


def describe_merges(files: TokenizerFiles, rows: int) -> Metadata:
    """The metadata of a tokenizer.json. Raises MergeError where llama.cpp would read otherwise."""
    tokenizer = files.tokenizer
    model = tokenizer["model"]
    texts = {int(number): text for text, number in model["vocab"].items()}
    missing = _BYTES - set(model["vocab"])
    if missing or not model.get("byte_fallback"):
        raise _unlike("it does not spell unknown characters as bytes")
    kinds = {
        number: TokenKind.BYTE if text in _BYTES else TokenKind.NORMAL
        for number, text in texts.items()
    }
    unknown = model["vocab"].get(model.get("unk_token"))
    if unknown is not None:
        kinds[unknown] = TokenKind.UNKNOWN
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    added = files.added_tokens()
    whole = {token.text for token in added}
    scores = _scores_of_merges(model["vocab"], merges, whole)
    table = TokenList(texts, kinds, scores)
    for token in added:
        table.add(token)
    return _describe(table, rows, prefix=_adds_prefix(tokenizer))


def describe_pieces(files: TokenizerFiles, content: bytes, rows: int) -> Metadata:
    """The metadata of a tokenizer.model. Raises MergeError for one that is not plain BPE."""
    model = read_sentencepiece(content)
    if not model.is_bpe:
        raise _unlike("it is not BPE")
    if model.normalizes or model.removes_blanks:
        raise _unlike("it normalises texts")
    table = _table_of_pieces(model)
    if _BYTES - set(table.texts.values()):
        raise _unlike("it does not spell unknown characters as bytes")
    for token in files.added_tokens():
        table.add(token)
    return _describe(table, rows, prefix=model.adds_prefix)


def merges_remark(tokenizer: Mapping[str, Any]) -> str | None:
    """A remark on texts that llama.cpp reads differently than this tokenizer.json."""
    kinds = {entry.get("type") for entry in _parts(tokenizer, "pre_tokenizer", "pretokenizers")}
    return _REMARK if "Metaspace" in kinds and _adds_prefix(tokenizer) else None


def _table_of_pieces(model: SentencePieceModel) -> TokenList:
    def text(piece: Piece) -> str:
        user_defined = piece.kind is TokenKind.USER_DEFINED
        return piece.text.replace(BLANK, " ") if user_defined else piece.text

    pieces = list(enumerate(model.pieces))
    return TokenList(
        {number: text(piece) for number, piece in pieces},
        {number: piece.kind for number, piece in pieces},
        {number: piece.score for number, piece in pieces},
    )


def _describe(table: TokenList, rows: int, *, prefix: bool) -> Metadata:
    for number, kind in table.kinds.items():
        if kind is TokenKind.USER_DEFINED:  # looked for in the text itself
            table.texts[number] = table.texts[number].replace(BLANK, " ")
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        **table.describe(rows),
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def _scores_of_merges(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, ...]], whole: set[str]
) -> dict[int, float]:
    """Scores by id. Raises MergeError where scores cannot stand for the merges.

    `whole` are tokens that are matched before pieces are merged: no merge begins with them.
    """
    places: dict[str, int] = {}
    counts: Counter[str] = Counter()
    last = ""
    for left, right in merges:
        union = left + right
        if union != last and union in places:
            raise _unlike("the merges of a token are apart")
        places.setdefault(union, len(places))
        counts[union] += not {left, right} & whole
        last = union
    parts = vocabulary.keys() - whole
    for token in parts - _BYTES:
        possible = sum(token[:i] in parts and token[i:] in parts for i in range(1, len(token)))
        if possible != counts[token]:
            raise _unlike(f"the merges of `{token}` are not all there")
    return {vocabulary[token]: -float(place) for token, place in places.items()}


def _adds_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a blank is put before a text. Raises MergeError for steps that are not known."""
    prefix = False
    for entry in _parts(tokenizer, "normalizer", "normalizers"):
        kind = entry.get("type")
        if kind == "Prepend" and entry.get("prepend") == BLANK:
            prefix = True
        elif kind != "Replace" or _replacement(entry) != (" ", BLANK):
            raise _unlike(f"it has the normaliser {kind}")
    for entry in _parts(tokenizer, "pre_tokenizer", "pretokenizers"):
        kind = entry.get("type")
        if kind == "Metaspace" and not entry.get("split", True):
            prefix = prefix or entry.get("prepend_scheme", "always") != "never"
        elif kind != "Split" or (entry.get("pattern"), entry.get("behavior")) != (
            {"String": " "},
            "MergedWithPrevious",  # which finds no blank, as all of them have been replaced
        ):
            raise _unlike(f"it has the pre-tokenizer {kind}")
    return prefix


def _replacement(entry: Mapping[str, Any]) -> tuple[object, object]:
    pattern = entry.get("pattern")
    return (pattern.get("String") if isinstance(pattern, Mapping) else None, entry.get("content"))


def _parts(tokenizer: Mapping[str, Any], key: str, parts: str) -> list[Mapping[str, Any]]:
    entry = tokenizer.get(key)
    if not entry:
        return []
    return list(entry[parts]) if entry.get("type") == "Sequence" else [entry]


def _unlike(difference: str) -> MergeError:
    return MergeError(
        f"this merge's tokenizer cannot be written as GGUF: {difference}, as llama.cpp expects of "
        "SentencePiece's",
        hint="merge without --gguf",
    )
