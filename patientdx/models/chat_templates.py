"""Chat templates: what they are passed so that a model answers at once, and their failures."""

import re
from collections.abc import Mapping
from typing import Any

from patientdx.errors import ModelError

_SWITCHES: Mapping[str, Any] = {
    "enable_thinking": False,  # Qwen3, SmolLM3, GLM, Hunyuan, Nemotron
    "thinking": False,  # DeepSeek V3.1, Granite
}
_CHANNEL = "<|channel|>"  # gpt-oss always thinks: as little as it can


def template_options(template: str) -> dict[str, Any]:
    """The options of a chat template that switch thinking off, or down where it has no switch."""
    words = _words(template)
    options = {name: value for name, value in _SWITCHES.items() if name in words}
    if _CHANNEL in template and "reasoning_effort" in words:
        options["reasoning_effort"] = "low"
    return options


def template_error(reason: str | None = None) -> ModelError:
    """The error of a chat template that cannot render a question."""
    named = f" ({reason})" if reason else ""
    error = ModelError(
        f"the model's chat template refuses the prompt{named}",
        hint="--prompt-format raw sends prompts without it",
    )
    error.concerns_prompt = True
    return error


def _words(template: str) -> set[str]:
    """The names in a template's expressions; in its plain text they switch nothing."""
    code = re.findall(r"{%.*?%}|{{.*?}}", template, re.DOTALL)
    return {word for part in code for word in re.findall(r"\w+", part)}
