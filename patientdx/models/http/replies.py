"""Reading the replies of OpenAI-compatible servers: text, thoughts, usage, and why they ended."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from patientdx.protocols import Completion, StopReason
from patientdx.thinking import MARKERS, UNFINISHED

_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True)
class ServerReply:
    """A completion; `thoughts` are those that the server sent apart from the text."""

    completion: Completion
    thoughts: str = ""

    def marked(self, opening: str) -> Completion:
        """The completion, with thoughts that ended before an answer marked as such.

        `opening` is the mark with which prompts open the model's thoughts: without a closing mark a
        reply that was cut off is all thoughts.
        """
        text = self.completion.text
        if not text.strip() and self.thoughts.strip():
            return replace(self.completion, text=UNFINISHED + self.thoughts)
        is_cut = self.completion.stop_reason == "length" and bool(text.strip())
        if opening and is_cut and not self.thoughts and not holds_marker(text):
            return replace(self.completion, text=opening + text)
        return self.completion


def holds_marker(text: str) -> bool:
    """Whether a reply marks thoughts."""
    folded = text.casefold()
    return any(marker.casefold() in folded for marker in MARKERS)


def read_text_reply(answer: Any) -> ServerReply:
    """The answer of `/v1/completions`."""
    return _reply(_string(answer["choices"][0]["text"]), "", answer)


def read_chat_reply(answer: Any) -> ServerReply:
    """The answer of `/v1/chat/completions`; null where a model wrote nothing but thoughts."""
    message = answer["choices"][0]["message"]
    thoughts = next((t for t in map(message.get, _THOUGHT_FIELDS) if isinstance(t, str) and t), "")
    content = message.get("content") if thoughts else message["content"]
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        thoughts += _joined(part.get("thinking") for part in content)
        content = _joined(part.get("text") for part in content)
    return _reply("" if content is None else _string(content), thoughts, answer)


def _reply(text: str, thoughts: str, answer: Any) -> ServerReply:
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    completion = Completion(
        text,
        prompt_tokens=_int_or_none(counts.get("prompt_tokens")),
        completion_tokens=_int_or_none(counts.get("completion_tokens")),
        stop_reason=_stop_reason(answer["choices"][0].get("finish_reason")),
    )
    return ServerReply(completion, thoughts)


def _joined(parts: Any) -> str:
    """The texts of parts; a part is a text, a mapping with a text, or a list of parts."""
    if isinstance(parts, str):
        return parts
    if isinstance(parts, dict):
        return _joined(parts.get("text"))
    return "".join(map(_joined, parts)) if isinstance(parts, Iterable) else ""


def _int_or_none(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _stop_reason(value: object) -> StopReason | None:
    if value == "length":
        return "length"
    return "stop" if value == "stop" else None


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
