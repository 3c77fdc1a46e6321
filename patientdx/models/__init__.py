"""Language models behind the protocols `Generator`, `Scorer` and `Chooser`; one module per backend.

The packages of a backend are imported when a model is opened, not before.
"""

from patientdx.fetching.model_cache import (
    KNOWN_MODELS,
    StoredModel,
    fetch_model,
    list_models,
    locate_model,
    model_folder,
)

from .opening import Model, open_model
from .scripted import ScriptedModel
from .settings import ModelSettings

__all__ = [
    "KNOWN_MODELS",
    "Model",
    "ModelSettings",
    "ScriptedModel",
    "StoredModel",
    "fetch_model",
    "list_models",
    "locate_model",
    "model_folder",
    "open_model",
]
