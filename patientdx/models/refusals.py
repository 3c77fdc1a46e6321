"""What a model says when it is asked for what it does not offer."""

from typing import Literal

from patientdx.errors import ModelError

Ability = Literal["generate", "score", "read", "choose"]

_ABLE = {
    "generate": "llamacpp, hf, vllm, server",
    "score": "llamacpp, hf, vllm, and the servers of llama.cpp and vLLM",
    "read": "llamacpp, hf, vllm, and the server of llama.cpp",
    "choose": "llamacpp, hf, vllm",
}


def cannot(name: str, ability: Ability) -> ModelError:
    """The error of a model that lacks an ability; its hint names the backends that have it."""
    verb = {
        "generate": "write text",
        "score": "tell the probabilities of a text",
        "read": "tell the probabilities of a text without a prompt",
        "choose": "weigh answers to a question",
    }[ability]
    return ModelError(f"`{name}` cannot {verb}", hint=f"these can: {_ABLE[ability]}")
