"""A tokenizer of transformers and what is made with it: prompts in tokens, pairs, texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patientdx.errors import ModelError
from patientdx.protocols import Prompt

from .prompts import as_prompt, beginning, fitted, split
from .settings import ModelSettings

# What ends a reply in one family of models or another, whether or not its files say so; as
# llama.cpp has it, so that backends agree.
_END_MARKERS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<EOT>",
)


@dataclass(frozen=True)
class Words:
    """A tokenizer, how many tokens the model takes, and whether it is spoken to by a template."""

    tokenizer: Any
    context: int
    chat: bool

    @classmethod
    def of(cls, tokenizer: Any, config: Any, settings: ModelSettings, name: str) -> "Words":
        """By the settings. Raises ModelError where a template is wanted that is not there."""
        has = bool(getattr(tokenizer, "chat_template", None))
        if settings.prompt_format == "chat" and not has:
            raise ModelError(
                f"`{name}` has no chat template", hint="leave --prompt-format out, or say raw"
            )
        limit = int(getattr(config.get_text_config(), "max_position_embeddings", None) or 4096)
        context = min(settings.context, limit) if settings.context else limit
        return cls(tokenizer, context, has and settings.prompt_format != "raw")

    def tokens(self, text: str, *, begin: bool = True) -> list[int]:
        """The tokens of a text, after the one for a beginning where the tokenizer adds that."""
        found: list[int] = self.tokenizer(text, add_special_tokens=begin, verbose=False)[
            "input_ids"
        ]
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        found: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return found

    def prompt(self, prompt: str | Prompt, new: int) -> tuple[list[int], bool]:
        """The tokens of a prompt, with room for `new` ones, and whether it was cut for that."""
        return self.prompts([prompt], new)[0]

    def prompts(self, prompts: Sequence[str | Prompt], new: int) -> list[tuple[list[int], bool]]:
        """As `prompt`, for many: the tokenizer takes them together, on all cores."""
        texts = [self.shown(as_prompt(one).text) for one in prompts]
        found: list[tuple[list[int], bool]] = []
        for prompt, tokens in zip(prompts, self._many(texts), strict=True):
            cut = len(tokens) + new > self.context
            fits = self._cut(prompt, self.context - new) if cut else tokens
            found.append((fits or [self.first()], cut))
        return found

    def forms(self, prompt: str | Prompt, forms: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of texts that a reply to this question may begin with."""
        whole = as_prompt(prompt)
        question = self.shown(whole.before + whole.after)

        def plain(text: str) -> list[int]:
            return self.tokens(text, begin=False)

        return [tuple(split(question, form, self._seen, plain)[1]) for form in forms]

    def pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and those of its continuation.

        Raises ModelError where they are longer than the context.
        """
        if prompt:
            before, after = split(
                prompt, continuation, self.tokens, lambda text: self.tokens(text, begin=False)
            )
        else:
            before, after = beginning(continuation, self.tokens, self.first())
        if len(before) + len(after) > self.context:
            raise too_long(len(before) + len(after), self.context)
        return before, after

    def first(self) -> int:
        """The token that a text follows. Raises ModelError where the tokenizer has none."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise ModelError("the tokenizer has neither a token for a beginning nor one for an end")

    def ends(self, told: int | Sequence[int] | None) -> frozenset[int]:
        """The tokens that end a reply: those that the model's settings tell, and known ones."""
        ends: list[int | None] = [told] if told is None or isinstance(told, int) else list(told)
        known = self.tokenizer.get_added_vocab()
        ends += [self.tokenizer.eos_token_id, *(known.get(marker) for marker in _END_MARKERS)]
        return frozenset(int(one) for one in ends if one is not None)

    def shown(self, text: str) -> str:
        """A question as the model gets it: in its chat template, where it is spoken to by one."""
        if not self.chat:
            return text
        message = [{"role": "user", "content": text}]
        found: str = self.tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True
        )
        return found

    def _seen(self, shown: str) -> list[int]:
        """The tokens of what is shown; a template writes its own beginning."""
        return self.tokens(shown, begin=not self.chat)

    def _many(self, shown: list[str]) -> list[list[int]]:
        if not shown:
            return []
        found: list[list[int]] = self.tokenizer(
            shown, add_special_tokens=not self.chat, verbose=False
        )["input_ids"]
        return found

    def _cut(self, prompt: str | Prompt, room: int) -> list[int]:
        text, _ = fitted(prompt, room, lambda text: len(self._seen(self.shown(text))))
        return self._seen(self.shown(text))


def too_long(tokens: int, context: int) -> ModelError:
    """The error of a text to score that the context does not hold."""
    return ModelError(
        f"a text of {tokens:,} tokens is longer than the context of {context:,}",
        hint="open the model with a longer context, or cut the text",
    )


def stopped(text: str, stops: Sequence[str]) -> str:
    """A text up to its first stop string."""
    ends = [text.find(stop) for stop in stops if stop in text]
    return text[: min(ends)] if ends else text
