"""The model card of a merge: README.md with the front matter that hubs read."""

from collections.abc import Sequence
from dataclasses import dataclass

from merger.recipes.writer import to_yaml

from .licences import InheritedLicence

_TEXT = """
# {title}

A merge of pretrained language models, made by [PatientDx](https://arxiv.org/abs/2504.17360)'s
`patientdx merge` in the terms of [mergekit](https://github.com/arcee-ai/mergekit). Nothing was
trained: no patient's data took part in this merge.

For research use; not a medical device.

## Merge

* Method: `{method}`{base}
* Inputs:
{inputs}
* Engine: `{engine}`{seed}{cosines}{gguf}
{remarks}
## Licence

{licence}

## Recipe

```yaml
{recipe}
```

Made by

```sh
{command}
```

`patientdx merge --verify FOLDER` makes it again and compares. Digests of the inputs are in
`patientdx_merge.json`.
"""


@dataclass(frozen=True)
class CardFacts:
    """The facts on a card: `inputs` as (name, sha256), `base_models` by their names on a hub.

    `cosines` is a sentence, or empty; `seed` is None for methods that draw nothing at random,
    `gguf` the name of a GGUF file.
    """

    title: str
    method: str
    base: str | None
    inputs: Sequence[tuple[str, str]]
    base_models: Sequence[str]
    engine: str
    recipe: str
    command: str
    licence: InheritedLicence
    remarks: Sequence[str] = ()
    cosines: str = ""
    seed: int | None = None
    gguf: str | None = None
    language: str | None = None


def render_model_card(facts: CardFacts) -> str:
    """The README.md of a merge."""
    front = {
        "base_model": list(facts.base_models),
        "tags": ["merge", "mergekit"],
        "library_name": "transformers",
        **facts.licence.fields,
    }
    name = facts.licence.fields.get("license")
    licence = f"`{name}`, inherited from the inputs." if name else "Not told by the inputs."
    if facts.licence.remark:
        licence += f"\n\n**Warning:** {facts.licence.remark}."
    inputs = "\n".join(f"  * {name} (sha256 `{digest}`)" for name, digest in facts.inputs)
    body = _TEXT.format(
        title=facts.title,
        method=facts.method,
        base=f", base `{facts.base}`" if facts.base else "",
        inputs=inputs,
        engine=facts.engine,
        gguf=f"\n* In one file for llama.cpp: `{facts.gguf}`" if facts.gguf else "",
        seed="" if facts.seed is None else f"\n* Random seed: {facts.seed}",
        cosines=f"\n* {facts.cosines}" if facts.cosines else "",
        remarks="".join(f"* Note: {remark}\n" for remark in facts.remarks),
        licence=licence,
        recipe=facts.recipe.rstrip(),
        command=facts.command,
    )
    return f"---\n{to_yaml(front)}---\n{body}"
