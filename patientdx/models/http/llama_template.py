"""The chat template of a llama.cpp server: rendered so that the model answers without thinking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from patientdx.errors import ModelError
from patientdx.models.chat_templates import template_error, template_options
from patientdx.thinking import opened_thoughts

from .client import UnansweredError
from .llama_api import LlamaApi

_QUESTION = "?"


@dataclass(frozen=True)
class ChatTemplate:
    """What the template is passed, and the mark with which it opens the model's thoughts."""

    api: LlamaApi
    options: Mapping[str, Any]
    opened_thoughts: str

    @classmethod
    def read(cls, api: LlamaApi) -> "ChatTemplate":
        """Asks the server; options that change no prompt are left out."""
        template = api.client.request("/props", parse=lambda answer: answer.get("chat_template"))
        plain = cls(api, {}, "")
        answering = cls(api, template_options(str(template or "")), "")
        try:
            rendered = answering.render(_QUESTION)
            options = answering.options if rendered != plain.render(_QUESTION) else {}
        except ModelError:  # raised again by the prompt that needs the template
            return answering
        return cls(api, options, opened_thoughts(rendered))

    @property
    def digest_facts(self) -> dict[str, Any]:
        """What decides on thinking; empty for models whose templates know nothing of it."""
        facts = {"template_options": dict(self.options), "thoughts": self.opened_thoughts}
        return {name: fact for name, fact in facts.items() if fact}

    def render(self, text: str) -> str:
        """A question in the template. Raises ModelError where the template refuses it."""
        try:
            return self.api.render(text, self.options)
        except UnansweredError as refusal:
            if refusal.status is None:
                raise
            raise template_error() from None
