"""The facts of a merge that its model card shows, by names that may be published."""

from dataclasses import replace
from pathlib import Path

from merger.planning.job import MergeJob
from merger.recipes.recipe import ModelRef
from merger.similarity import CosineSummary

from .card import CardFacts
from .licences import InheritedLicence, inherit_licence, read_licence
from .provenance import InputFacts, Provenance
from .public_names import (
    base_model_names,
    local_paths,
    publish_command,
    publish_recipe,
    publish_text,
)


def collect_card_facts(
    job: MergeJob,
    provenance: Provenance,
    cosines: CosineSummary | None,
    gguf: str | None,
) -> CardFacts:
    """The facts of a card; `gguf` is the name of the GGUF file.

    A merge whose provenance has no labels gets the card of the version that made it, with the
    names of its recipe.
    """
    facts = CardFacts(
        title=provenance.title,
        method=job.recipe.method,
        base=str(job.recipe.base_model) if job.recipe.base_model else None,
        inputs=[(facts.name, facts.digest) for facts in provenance.inputs],
        base_models=_recipe_names(provenance),
        engine=provenance.engine,
        recipe=provenance.recipe,
        command=provenance.command,
        licence=inherited_licence(job),
        remarks=provenance.remarks,
        cosines=str(cosines) if cosines else "",
        gguf=gguf,
        seed=provenance.seed,
    )
    has_labels = all(facts.label is not None for facts in provenance.inputs)
    return _publish(facts, job, provenance) if has_labels else facts


def inherited_licence(job: MergeJob) -> InheritedLicence:
    """The licence of a merge, by those of its inputs."""
    refs = job.recipe.inputs
    licences = [read_licence(job.folders[ref]) for ref in refs]
    return inherit_licence([str(ref) for ref in refs], licences)


def _publish(facts: CardFacts, job: MergeJob, provenance: Provenance) -> CardFacts:
    """The facts with public names in place of local ones."""
    parts = [
        part
        for ref, source in zip(job.recipe.inputs, provenance.inputs, strict=True)
        for part in _named_parts(ref, source)
    ]
    recipe = job.recipe.to_dict()
    labels = {path: Path(path).name for path in local_paths(recipe)}
    labels |= {name: label for names, label in parts for name in names}
    labels |= {source.name: source.label or "" for source in provenance.inputs}
    remark = facts.licence.remark
    return replace(
        facts,
        base=labels.get(facts.base, facts.base) if facts.base else None,
        inputs=[(source.label or "", source.digest) for source in provenance.inputs],
        base_models=base_model_names(label for _, label in parts),
        recipe=publish_recipe(facts.recipe, recipe, labels),
        command=publish_command(facts.command, labels),
        licence=facts.licence._replace(remark=publish_text(remark, labels) if remark else None),
        remarks=[publish_text(text, labels) for text in facts.remarks],
    )


def _named_parts(ref: ModelRef, source: InputFacts) -> list[tuple[tuple[str, ...], str]]:
    """The local names of an input's model, and of its adapter, each with its label."""
    label = source.label or ""
    if ref.lora is None:
        return [((ref.base, ref.path, source.folder), label)]
    base, _, adapter = label.rpartition("+")
    names = (ref.adapter or ref.lora, ref.lora, source.adapter or ref.lora)
    return [((ref.base, ref.path, source.folder), base), (names, adapter)]


def _recipe_names(provenance: Provenance) -> list[str]:
    """The names of the inputs for a hub, as cards had them before labels were recorded."""
    names = [facts.repo or _last_folders(facts.name) for facts in provenance.inputs]
    return list(dict.fromkeys(part for name in names for part in name.split("+")))


def _last_folders(name: str) -> str:
    parts = [part.partition("@")[0] for part in name.split("+")]
    return "+".join(Path(part).name if part[:1] in {"/", ".", "~"} else part for part in parts)
