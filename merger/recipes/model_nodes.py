"""Reads the models that a recipe names, from its YAML."""

from .recipe import ModelRef
from .yaml_nodes import YamlNode


def read_model(node: YamlNode) -> ModelRef:
    """A model, as MergeKit's `path@revision+lora` or as a mapping. Raises InputError."""
    if not node.is_map:
        text = node.text("a model")
        if text.count("+") > 1 or any(part.count("@") > 1 for part in text.split("+")):
            raise node.error(f"`{text}` is not a model: it must be path@revision+lora")
        base, _, lora = text.partition("+")
        return ModelRef(*_split_revision(base), *(_split_revision(lora) if lora else (None, None)))
    fields = node.fields("a model", ("model", "lora", "override_architecture"))
    if "model" not in fields:
        raise node.error("`model` is missing")
    if "override_architecture" in fields:
        raise fields["override_architecture"].error("`override_architecture` is not supported")
    base_path = _read_path(fields["model"])
    return ModelRef(*base_path, *(_read_path(fields["lora"]) if "lora" in fields else (None, None)))


def _read_path(node: YamlNode) -> tuple[str, str | None]:
    if not node.is_map:
        return _split_revision(node.text("a model"))
    fields = node.fields("a model", ("path", "revision"))
    if "path" not in fields:
        raise node.error("`path` is missing")
    revision = fields["revision"].text("a revision") if "revision" in fields else None
    return fields["path"].text("a path"), revision


def _split_revision(text: str) -> tuple[str, str | None]:
    path, _, revision = text.partition("@")
    return path, revision or None
