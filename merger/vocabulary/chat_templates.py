"""The key `chat_template` of recipes: the chat template that the tokenizer of a merge gets.

It is `auto` (the template that most inputs have), the name of a template that MergeKit ships, or
the text of a Jinja template, as in MergeKit 0.1.5.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from patientdx.capabilities import require_package
from patientdx.errors import MergeError

from .special_tokens import TOKENIZER_CONFIG
from .token_files import read_json, read_text

AUTO = "auto"
SHIPPED = ("alpaca", "chatml", "llama3", "mistral", "exaone")
"""Names of the templates that MergeKit ships."""

_FILE = "chat_template.jinja"
_OF_PROCESSOR = "chat_template.json"
_KEY = "chat_template"
# A tag that transformers adds to Jinja: it marks what the model writes.
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


def is_template_text(value: str) -> bool:
    """Whether a value of the key is the text of a template, by MergeKit's rule."""
    return len(value) >= 20 and "{" in value


def resolve_chat_template(value: str, folders: Sequence[Path]) -> str:
    """The text of the template for a value of the key; `folders` are those of the inputs.

    Raises MergeError if no input has a template, or the text is no Jinja, and ExtraMissingError
    for a template of MergeKit's where that is not installed.
    """
    if value in SHIPPED:
        return _read_shipped(value)
    if value != AUTO:
        _check_syntax(value)
        return value
    templates = [template for folder in folders if (template := read_chat_template(folder))]
    if not templates:
        raise MergeError(
            "`chat_template: auto` takes a template of the inputs, and none of them has one",
            hint=f"name a template: {', '.join(SHIPPED)}, or write one in Jinja",
        )
    return Counter(templates).most_common(1)[0][0]


def read_chat_template(folder: Path) -> str:
    """The chat template of a model, without space around it; empty if there is none.

    Raises MergeError.
    """
    return stored_chat_template(folder).strip()


def stored_chat_template(folder: Path) -> str:
    """The chat template of a model as its file has it; the default one where there are several."""
    if (folder / _FILE).is_file():
        return read_text(folder / _FILE)
    for name in (TOKENIZER_CONFIG, _OF_PROCESSOR):
        template = read_json(folder / name).get(_KEY)
        if isinstance(template, list):  # several templates, each with a name
            named = [entry for entry in template if isinstance(entry, dict)]
            template = {entry.get("name"): entry.get("template") for entry in named}.get("default")
        if isinstance(template, str) and template.strip():
            return template
    return ""


def set_chat_template(files: Mapping[str, bytes], template: str) -> dict[str, bytes]:
    """Tokenizer files with another chat template, in the file where transformers 5 has it."""
    changed = {name: content for name, content in files.items() if name != _OF_PROCESSOR}
    config = json.loads(changed.get(TOKENIZER_CONFIG, b"{}"))
    if _KEY in config:
        del config[_KEY]
        changed[TOKENIZER_CONFIG] = (
            json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        ).encode()
    return changed | {_FILE: template.encode()}


def _read_shipped(name: str) -> str:
    require_package("mergekit", "merge")
    spec = find_spec("mergekit")  # its import would take seconds
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / "_data" / "chat_templates" / f"{name}.jinja"
        if path.is_file():
            return read_text(path)
    raise MergeError(
        f"this MergeKit has no chat template `{name}`", hint="write the template in Jinja"
    )


def _check_syntax(template: str) -> None:
    """Raises MergeError for a text that is no Jinja, where jinja2 is installed."""
    try:
        from jinja2 import Environment, TemplateSyntaxError
    except ImportError:
        return
    environment = Environment(extensions=["jinja2.ext.loopcontrols"])  # noqa: S701 - only parsed
    try:
        environment.parse(_GENERATION.sub("", template))
    except TemplateSyntaxError as error:
        raise MergeError(
            f"`chat_template` is not Jinja: {error.message}, in its line {error.lineno}",
            hint=f"or name a template: {', '.join((AUTO, *SHIPPED))}",
        ) from None
