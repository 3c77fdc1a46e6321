"""Loads a model's folder on the meta device, and reports keys and chat template as lines of JSON.

A program of its own, run by `load_check`: it imports torch and transformers, which the process
that merges need not, and nothing that it meets can end the merge but its report. No code of the
model is run, and no hub is contacted.
"""

import json
import sys
from pathlib import Path
from typing import Any

_MESSAGE = "Fever and a new murmur."


def report_keys(folder: str) -> dict[str, Any]:
    """The keys that are missing, unexpected or of another shape; or why nothing was loaded."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    raw = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    names = raw.get("architectures") or []
    kind = getattr(transformers, names[0], None) if names else None
    if kind is None:
        what = f"no class {names[0]}" if names else "no `architectures` to go by"
        return {"skipped": f"transformers has {what}"}
    options = {"local_files_only": True, "trust_remote_code": False}
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
    try:
        _, report = kind.from_pretrained(folder, device_map="meta", **options)
    except ImportError as error:
        return {"skipped": f"a package is missing: {str(error).strip().splitlines()[0]}"}
    mismatched = [
        str(key[0] if isinstance(key, tuple) else key) for key in report["mismatched_keys"]
    ]
    return {
        "missing": sorted(report["missing_keys"]),
        "unexpected": sorted(report["unexpected_keys"]),
        "mismatched": sorted(mismatched),
    }


def report_template(folder: str) -> dict[str, Any]:
    """Whether the tokenizer's chat template turns a message into text."""
    import jinja2
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if not tokenizer.chat_template:
        return {"template": "none"}
    parts = [{"type": "text", "text": _MESSAGE}]
    for content in (_MESSAGE, parts):  # templates of vision models want a list
        messages = [{"role": "user", "content": content}]
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False)
        except (TypeError, ValueError, RuntimeError, jinja2.TemplateError) as error:
            reason = str(error)
        else:
            if _MESSAGE in text:
                return {"template": "rendered"}
            reason = "the message is not in its text"
    return {"template": "broken", "reason": reason}


def main(folder: str) -> None:
    """Reports keys, then the template if the folder has a tokenizer."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    sys.stdout.write(json.dumps(report_keys(folder)) + "\n")
    sys.stdout.flush()
    has_tokenizer = any(Path(folder).glob("tokenizer*"))
    template = report_template(folder) if has_tokenizer else {"template": "none"}
    sys.stdout.write(json.dumps(template) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
