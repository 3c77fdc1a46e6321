"""Language models behind two protocols, `Generator` and `Scorer`; one module a backend.

Nothing here imports a backend's packages before a model is opened.
"""

from patientdx.fetching.model_cache import KNOWN, StoredModel, get, located, model_folder, stored

from .opening import Model, open_model
from .scripted import ScriptedModel
from .settings import ModelSettings

__all__ = [
    "KNOWN",
    "Model",
    "ModelSettings",
    "ScriptedModel",
    "StoredModel",
    "get",
    "located",
    "model_folder",
    "open_model",
    "stored",
]
