"""What the benchmark of the λ search works on: pairs of random Llamas with words, and stays."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 2_000,
    },
    # SmolLM2-135M's.
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
    },
}
WORDS = 2_000  # of the tokenizer of random models
MADE = 48  # readings of an invented stay


class Stays(NamedTuple):
    """Records of stays as texts of sections, and who died, shape (n,)."""

    records: list[list[str]]
    died: np.ndarray


def read_stays(cohort: Path | None, count: int, seed: int = 0) -> Stays:
    """So many stays, deaths and survivors in turn as long as there are deaths; or invented ones."""
    if cohort is None:
        return _made(count, seed)
    from evaluator.cohorts import parse_sections, read_cohort, read_templates, render_stay
    from evaluator.selection import Instances
    from evaluator.selection.strategies.halving import scoring_order

    opened = read_cohort(cohort)
    everybody = Instances.build(opened.subject_ids, labels=opened.died)
    chosen = scoring_order(everybody, everybody.all_indices, seed, alternate_outcomes=True)[:count]
    wanted, words, sections = set(chosen.tolist()), read_templates(), parse_sections("mortality")
    records = {
        place: [part.text for part in render_stay(stay, sections, templates=words)]
        for place, stay in enumerate(opened)
        if place in wanted
    }
    return Stays([records[place] for place in chosen.tolist()], opened.died[chosen])


def _made(count: int, seed: int) -> Stays:
    rng = np.random.default_rng(seed)
    rates = rng.integers(50, 150, (count, MADE))
    records = [[f"Heart rate: {', '.join(map(str, row))}."] for row in rates.tolist()]
    return Stays(records, np.arange(count) % 2 == 0)


def write_pair(folder: Path, size: str, texts: list[str]) -> list[Path]:
    """Two Llamas of random bfloat16 weights; their tokenizer is trained on `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = _words(texts)
    folders = []
    for seed in range(2):
        torch.manual_seed(seed)
        config = LlamaConfig(
            **SIZES[size],
            max_position_embeddings=8192,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=1,
        )
        folders.append(folder / "ab"[seed])
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folders[-1])
        words.save_pretrained(folders[-1])
    return folders


def _words(texts: list[str]) -> Any:
    """Byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def differ(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """The greatest difference of log-odds, λ by λ and stay by stay."""
    return float(np.max(np.abs(np.array(ours) - np.array(theirs))))


def steps(odds: list[list[float]]) -> float:
    """The median of how much one step of λ moves the log-odds of a stay."""
    return float(np.median([np.abs(np.subtract(b, a)) for a, b in pairwise(odds)]))
