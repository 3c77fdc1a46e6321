"""Answers that a server streams unasked, as some proxies do: events joined into one answer."""

import json
from typing import Any

_DATA = b"data:"
_END = b"[DONE]"
_TEXTS = ("content", "reasoning_content", "reasoning")


def is_event_stream(body: bytes) -> bool:
    """Whether a body is a stream of server-sent events."""
    return body.lstrip().startswith(_DATA)


def join_events(body: bytes) -> dict[str, Any]:
    """One answer out of the events of a completion. Raises ValueError and KeyError for others."""
    lines = [line.strip() for line in body.splitlines()]
    events = [line.removeprefix(_DATA).strip() for line in lines if line.startswith(_DATA)]
    if _END not in events:
        raise ValueError  # cut off
    answer: dict[str, Any] = {}
    message: dict[str, str] = {}
    text, finish = "", None
    for event in map(json.loads, (event for event in events if event != _END)):
        answer |= {key: value for key, value in event.items() if value is not None}
        for choice in event["choices"][:1]:
            delta = choice.get("delta") or {}
            for name in _TEXTS:
                if delta.get(name) is not None:
                    message[name] = message.get(name, "") + delta[name]
            text += choice.get("text") or ""
            finish = choice.get("finish_reason") or finish
    message.setdefault("content", "")
    return answer | {"choices": [{"message": message, "text": text, "finish_reason": finish}]}
