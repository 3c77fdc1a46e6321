"""Names for a model card, which is made to be published: no place on a disk, and no commit.

A model is called by its repository on a hub where that is known, or by the name of its folder.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

from merger.recipes.writer import to_yaml
from merger.recipes.yaml_nodes import parse_yaml
from patientdx.errors import InputError
from patientdx.fetching.hub_cache import snapshot_source
from patientdx.fetching.model_cache import model_folder

# The rules of huggingface_hub.utils.validate_repo_id.
_LONGEST = 96
_REPOSITORY = re.compile(r"(?:\w[\w.-]*/)?\w(?:[\w.-]*\w)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_NAMED_COMMIT = re.compile(r"@[0-9a-f]{7,40}\b")
_SNAPSHOT = re.compile(r"[^\s\"'`(]*models--([\w.-]+?)/snapshots/[0-9a-f]+/?")
_RECIPES = (".yml", ".yaml")
_MODEL_KEYS = ("model", "path", "lora", "base_model", "source", "tokenizer_source")


def read_hub_source(folder: Path) -> tuple[str | None, str | None]:
    """The repository and commit of a folder of our cache, or of that of huggingface_hub.

    None and None for any other folder.
    """
    try:
        source = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
        repo, revision = source["repo"], source["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return snapshot_source(folder) or (None, None)
    return (str(repo), str(revision)) if repo and revision else (None, None)


def public_name(path: str, revision: str | None, folder: Path, cache: Path | None) -> str:
    """What a card calls the model at `folder`, which a recipe names by `path` and `revision`.

    `cache` is our cache of models.
    """
    repository, _ = read_hub_source(folder)
    ours = cache is not None and folder.absolute().parent == model_folder(cache).absolute()
    if repository is None and ours:
        repository = folder.name.replace("--", "/", 1)
    if repository is None and not Path(path).expanduser().exists() and is_repository(path):
        repository = path
    if repository is None:
        return _folder_name(folder)
    tag = revision if revision and not _COMMIT.fullmatch(revision) else None
    return f"{repository}@{tag}" if tag else repository


def number_repeated_names(names: Iterable[str]) -> list[str]:
    """Names for a card, each once: `name`, `name (2)` ... where several models are called alike."""
    distinct: list[str] = []
    for name in names:
        choices = chain((name,), (f"{name} ({n})" for n in count(2)))
        distinct.append(next(choice for choice in choices if choice not in distinct))
    return distinct


def is_repository(name: str) -> bool:
    """Whether a hub could have a repository of this name."""
    return (
        all(len(part) <= _LONGEST for part in name.split("/"))
        and bool(_REPOSITORY.fullmatch(name))
        and not any(part in name for part in ("--", ".."))
        and not name.endswith(".git")
    )


def base_model_names(labels: Iterable[str]) -> list[str]:
    """Names for the front matter of a card: each once, without revisions, and only valid ones."""
    names = [label.partition("@")[0] for label in labels]
    return [name for name in dict.fromkeys(names) if is_repository(name)]


def publish_text(text: str, labels: Mapping[str, str]) -> str:
    """A text with public names in place of local ones, which are paths or have a revision."""
    for name in sorted(labels, key=len, reverse=True):
        if re.search(r"[/\\@]", name):
            pattern = rf"(?<![\w./@+-]){re.escape(name)}(?![\w/-])"
            text = re.sub(pattern, labels[name].replace("\\", r"\\"), text)
    text = _SNAPSHOT.sub(lambda match: match[1].replace("--", "/", 1), text)
    return _NAMED_COMMIT.sub("", text)


def publish_command(command: str, labels: Mapping[str, str]) -> str:
    """A command with public names, and with the names alone of recipes and of the output."""
    words = shlex.split(command)
    public = []
    for before, word in zip(("", *words), words, strict=False):
        if word.endswith(_RECIPES) or before == "--into":
            public.append(Path(word).name)
        else:
            public.append(labels.get(word) or publish_text(word, labels))
    return shlex.join(public)


def publish_recipe(text: str, recipe: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The YAML of a recipe with public names; `recipe` is its value.

    Its comments stay, unless a name is written in a way that only YAML understands.
    """
    public, expected = publish_text(text, labels), _publish_strings(recipe, labels)
    with suppress(InputError):
        if parse_yaml(public, "recipe").value() == expected:
            return public
    return to_yaml(expected)


def local_paths(recipe: Any, *, is_model: bool = False) -> Iterator[str]:
    """The paths that a recipe, as dicts and lists, has where models are named."""
    if isinstance(recipe, Mapping):
        for key, value in recipe.items():
            yield from local_paths(value, is_model=key in _MODEL_KEYS)
    elif isinstance(recipe, list):
        for value in recipe:
            yield from local_paths(value)
    elif is_model and isinstance(recipe, str) and recipe[:1] in {"/", ".", "~"}:
        yield recipe


def _publish_strings(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _publish_strings(item, labels) for key, item in value.items()}
    if isinstance(value, list):
        return [_publish_strings(item, labels) for item in value]
    return publish_text(value, labels) if isinstance(value, str) else value


def _folder_name(folder: Path) -> str:
    """The name of a folder; that of the folder around it, if it is called by a commit."""
    names = [name for name in reversed(folder.absolute().parts) if not _COMMIT.fullmatch(name)]
    return next((name for name in names if name not in {"snapshots", "/"}), "model")
