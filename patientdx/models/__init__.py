"""Language models behind two protocols, `Generator` and `Scorer`; one module a backend.

Nothing here imports a backend's packages before a model is opened.
"""

from .opening import Model, open_model
from .scripted import ScriptedModel
from .settings import ModelSettings
from .store import KNOWN, StoredModel, get, located, model_folder, stored

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
