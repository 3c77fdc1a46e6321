"""The abilities of language models, and the error of a model that lacks one."""

from typing import Literal

from patientdx.errors import ModelError

Ability = Literal["generate", "score", "read", "choose"]

_BACKENDS = {
    "generate": "llamacpp, hf, vllm, server",
    "score": "llamacpp, hf, vllm, and the servers of llama.cpp and vLLM",
    "read": "llamacpp, hf, vllm, and the server of llama.cpp",
    "choose": "llamacpp, hf, vllm",
}
_VERBS = {
    "generate": "write text",
    "score": "return the probabilities of a text",
    "read": "return the probabilities of a text without a prompt",
    "choose": "weigh answers to a question",
}


def unsupported(name: str, ability: Ability) -> ModelError:
    """The error of a model without an ability; its hint names the backends that have it."""
    message = f"`{name}` cannot {_VERBS[ability]}"
    return ModelError(message, hint=f"these can: {_BACKENDS[ability]}")
