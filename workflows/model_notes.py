"""Facts about language models, for notes below tables."""

from patientdx.protocols import ModelDescription


def describe_model(model: ModelDescription) -> str:
    """Number type, prompt format, quantization and context of a model."""
    facts = [f"dtype {model.dtype}", f"prompt format {model.prompt_format}"]
    facts += [f"quantized {model.quantization}"] if model.quantization != "none" else []
    facts += [f"context {model.context:,}"] if model.context else []
    return ", ".join(facts)
