"""An order for MergeKit: models as in the recipe, tokens by their ids.

MergeKit collects models in sets and maps by the hashes of their names, which Python draws anew in
each process, and reads vocabularies from maps whose order the package tokenizers draws anew in
each call. So a union of tokenizers would have other ids each time, means of embeddings would be
added in another order, and a recipe without a base would take the configuration and the tokenizer
of any of its models.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32


@contextmanager
def stable_order(models: Sequence[Any]) -> Iterator[None]:
    """Let MergeKit take models in this order, and tokens in that of their ids.

    `models` are MergeKit's references. Their hashes are their numbers while the block runs: sets
    and maps of small whole numbers are in rising order.
    """
    import transformers
    from mergekit.common import ModelReference

    numbers = {str(model): number for number, model in enumerate(models)}
    hash_of_names = ModelReference.__hash__
    get_vocab = transformers.PreTrainedTokenizerFast.get_vocab

    def hash_by_number(model: Any) -> int:
        name = str(model)
        return numbers.get(name, crc32(name.encode()))

    def get_sorted_vocab(tokenizer: Any) -> dict[str, int]:
        return dict(sorted(get_vocab(tokenizer).items(), key=lambda entry: entry[1]))

    ModelReference.__hash__ = hash_by_number
    transformers.PreTrainedTokenizerFast.get_vocab = get_sorted_vocab
    try:
        yield
    finally:
        ModelReference.__hash__ = hash_of_names
        transformers.PreTrainedTokenizerFast.get_vocab = get_vocab
