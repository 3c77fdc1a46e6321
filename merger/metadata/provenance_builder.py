"""Builds the provenance of a merge from its job and its inputs."""

from merger.checkpoints.adapters import adapter_digest
from merger.checkpoints.checkpoint import Checkpoint
from merger.engines.mergekit import mergekit_version
from merger.gguf.writer import encoder_version
from merger.planning.job import MergeJob, PreparedMerge
from merger.recipes.recipe import ModelRef
from patientdx import __version__

from .provenance import InputFacts, Provenance
from .public_names import number_repeated_names, public_name, read_hub_source


def build_provenance(job: MergeJob, prepared: PreparedMerge, title: str) -> Provenance:
    """The provenance of a merge, without its cosines. Reads all inputs for their digests."""
    engine = f"mergekit {mergekit_version()}" if prepared.engine == "mergekit" else "stream"
    refs = job.recipe.inputs
    labels = number_repeated_names(_label(job, ref) for ref in refs)
    return Provenance(
        title=title,
        software=f"patientdx {__version__}",
        engine=engine,
        recipe=job.recipe.text,
        inputs=tuple(
            _input_facts(job, ref, label) for ref, label in zip(refs, labels, strict=True)
        ),
        shard_size=job.shard_size,
        unsound=job.unsound,
        command=job.command,
        remarks=prepared.remarks,
        seed=job.random_seed,
        torch_threads=job.torch_threads if prepared.engine == "mergekit" else None,
        gguf=job.gguf,
        quantizer=encoder_version(prepared.gguf) if prepared.gguf else None,
    )


def _input_facts(job: MergeJob, ref: ModelRef, label: str) -> InputFacts:
    folder, adapter = job.folders[ref], job.adapters.get(ref)
    return InputFacts(
        str(ref),
        str(folder.absolute()),
        Checkpoint.open(folder).digest(job.cache),
        str(adapter.absolute()) if adapter else None,
        adapter_digest(adapter) if adapter else None,
        *read_hub_source(folder),
        label=label,
    )


def _label(job: MergeJob, ref: ModelRef) -> str:
    """What the card calls an input and its adapter."""
    label = public_name(ref.path, ref.revision, job.folders[ref], job.cache)
    if ref.lora is None or ref not in job.adapters:
        return label
    return f"{label}+{public_name(ref.lora, ref.lora_revision, job.adapters[ref], job.cache)}"
