"""Prompts, texts and answers in tokens, by a tokenizer of transformers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from patientdx.errors import ModelError
from patientdx.protocols import Prompt
from patientdx.thinking import MARKERS, opened_thoughts

from .chat_templates import template_error, template_options
from .outcomes import outcome_of
from .prompts import as_prompt, encode_pair, encode_text, fit_prompt
from .settings import ModelSettings

# Tokens that end a reply in one family of models or another, whether or not its files say so; the
# same list as in llama.cpp, so that backends agree.
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
# gpt-oss ends each of its messages by <|end|>, the thoughts too, and its reply by one of these.
_CHANNEL_ENDS, _MESSAGE_END = ("<|return|>", "<|call|>"), "<|end|>"


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer with the model's context in tokens; `chat` applies its chat template."""

    tokenizer: Any
    context: int
    chat: bool

    @classmethod
    def from_settings(
        cls, tokenizer: Any, config: Any, settings: ModelSettings, name: str
    ) -> "PromptTokenizer":
        """Raises ModelError where the settings require a chat template that is missing."""
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if settings.prompt_format == "chat" and not has_template:
            raise ModelError(
                f"`{name}` has no chat template", hint="leave --prompt-format out, or say raw"
            )
        limit = int(getattr(config.get_text_config(), "max_position_embeddings", None) or 4096)
        context = min(settings.context, limit) if settings.context else limit
        return cls(tokenizer, context, has_template and settings.prompt_format != "raw")

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """The tokens of a text, after the start token where the tokenizer adds one."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=start, verbose=False)[
            "input_ids"
        ]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without special ones but those that mark thoughts."""
        parts, start = [], 0
        for position, token in enumerate(tokens):
            if token in self._thought_markers:
                parts += [self._decode(tokens[start:position]), self._thought_markers[token]]
                start = position + 1
        return "".join([*parts, self._decode(tokens[start:])])

    def decode_reply(self, tokens: Sequence[int]) -> str:
        """The text of a reply; thoughts that the chat template opened begin with their mark."""
        return self.opened_thoughts + self.decode(tokens)

    @cached_property
    def template_options(self) -> dict[str, Any]:
        """What the chat template is passed, so that the model answers without thinking.

        Empty where that changes no prompt.
        """
        options = template_options(_template_text(self.tokenizer)) if self.chat else {}
        if not options:
            return options
        try:
            return options if self._render("?", options) != self._render("?", {}) else {}
        except ModelError:  # raised again by the prompt that needs the template
            return options

    @cached_property
    def opened_thoughts(self) -> str:
        """The mark with which the chat template opens the model's thoughts, if it does."""
        try:
            return opened_thoughts(self.render("?")) if self.chat else ""
        except ModelError:  # raised again by the prompt that needs the template
            return ""

    @property
    def digest_facts(self) -> dict[str, Any]:
        """What decides on thinking; empty for models whose templates know nothing of it."""
        facts = {"template_options": self.template_options, "thoughts": self.opened_thoughts}
        return {name: fact for name, fact in facts.items() if fact}

    def encode_prompt(self, prompt: str | Prompt, new_tokens: int) -> tuple[list[int], bool]:
        """The tokens of a prompt, and whether it was shortened to leave room for `new_tokens`."""
        return self.encode_prompts([prompt], new_tokens)[0]

    def encode_each_prompt(
        self, prompts: Sequence[str | Prompt], new_tokens: int
    ) -> list[tuple[list[int], bool] | ModelError]:
        """As `encode_prompts`, with the error in the place of each prompt that has none."""
        try:
            return list(self.encode_prompts(prompts, new_tokens))
        except ModelError:
            return [
                outcome_of(lambda prompt=prompt: self.encode_prompt(prompt, new_tokens))  # type: ignore[misc]
                for prompt in prompts
            ]

    def encode_prompts(
        self, prompts: Sequence[str | Prompt], new_tokens: int
    ) -> list[tuple[list[int], bool]]:
        """As `encode_prompt`, for many prompts: the tokenizer runs on all cores."""
        rendered = [self.render(as_prompt(prompt).text) for prompt in prompts]
        encoded: list[tuple[list[int], bool]] = []
        for prompt, tokens in zip(prompts, self._encode_many(rendered), strict=True):
            truncated = len(tokens) + new_tokens > self.context
            fitting = self._shorten(prompt, self.context - new_tokens) if truncated else tokens
            encoded.append((fitting or [self.start_token()], truncated))
        return encoded

    def encode_answers(self, prompt: str | Prompt, answers: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of texts with which a reply to this question may begin."""
        parts = as_prompt(prompt)
        question = self.render(parts.before + parts.after)
        return [
            tuple(encode_pair(question, answer, self._encode_rendered, self._encode_plain)[1])
            for answer in answers
        ]

    def encode_pair(self, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and those of its continuation.

        Raises ModelError where they are longer than the context.
        """
        if prompt:
            prefix, rest = encode_pair(prompt, continuation, self.encode, self._encode_plain)
        else:
            prefix, rest = encode_text(continuation, self.encode, self.start_token())
        if len(prefix) + len(rest) > self.context:
            raise context_exceeded(len(prefix) + len(rest), self.context)
        return prefix, rest

    def start_token(self) -> int:
        """The token before a text: the one for a beginning or an end. Raises ModelError."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        raise ModelError("the tokenizer has neither a token for a beginning nor one for an end")

    def end_tokens(self, configured: int | Sequence[int] | None) -> frozenset[int]:
        """The tokens that end a reply: those of the model's configuration, and well-known ones."""
        ends: list[int | None] = (
            [configured] if configured is None or isinstance(configured, int) else list(configured)
        )
        added = self.tokenizer.get_added_vocab()
        in_channels = all(marker in added for marker in _CHANNEL_ENDS)
        markers = [
            marker for marker in _END_MARKERS if not (in_channels and marker == _MESSAGE_END)
        ]
        ends += [self.tokenizer.eos_token_id, *(added.get(marker) for marker in markers)]
        return frozenset(int(token) for token in ends if token is not None)

    def render(self, text: str) -> str:
        """A question as the model sees it: in its chat template, if that is used.

        Raises ModelError where the template refuses a question without a system message, or fails.
        """
        return self._render(text, self.template_options) if self.chat else text

    def _render(self, text: str, options: Mapping[str, Any]) -> str:
        message = [{"role": "user", "content": text}]
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True, **options
            )
        except _template_failures() as error:
            # `from None`: what a template raises may quote the prompt.
            raise template_error(type(error).__name__) from None
        return rendered

    @cached_property
    def _thought_markers(self) -> dict[int, str]:
        """The tokens that mark thoughts, with their texts."""
        added = self.tokenizer.get_added_vocab()
        return {int(added[marker]): marker for marker in MARKERS if marker in added}

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _encode_plain(self, text: str) -> list[int]:
        return self.encode(text, start=False)

    def _encode_rendered(self, rendered: str) -> list[int]:
        """The tokens of a rendered prompt; a chat template writes its own start token."""
        return self.encode(rendered, start=not self.chat)

    def _encode_many(self, rendered: list[str]) -> list[list[int]]:
        if not rendered:
            return []
        tokens: list[list[int]] = self.tokenizer(
            rendered, add_special_tokens=not self.chat, verbose=False
        )["input_ids"]
        return tokens

    def _shorten(self, prompt: str | Prompt, most_tokens: int) -> list[int]:
        def count(text: str) -> int:
            return len(self._encode_rendered(self.render(text)))

        text, _ = fit_prompt(prompt, most_tokens, count)
        return self._encode_rendered(self.render(text))


def _template_text(tokenizer: Any) -> str:
    """The chat template; of several named ones the default."""
    template = getattr(tokenizer, "chat_template", None) or ""
    chosen = template.get("default", "") if isinstance(template, dict) else template
    return str(chosen)


def _template_failures() -> tuple[type[Exception], ...]:
    """What a chat template may raise: its own refusals, and the errors of its expressions."""
    from jinja2 import TemplateError

    return (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def context_exceeded(tokens: int, context: int) -> ModelError:
    """The error of a text to score that is longer than the context."""
    return ModelError(
        f"a text of {tokens:,} tokens is longer than the context of {context:,}",
        hint="open the model with a longer context, or shorten the text",
    )


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """A text up to its first stop string."""
    ends = [text.find(stop) for stop in stops if stop in text]
    return text[: min(ends)] if ends else text
