"""Merging language models: MergeKit's recipes, a streaming engine of our own, and MergeKit's.

A `MergeJob` is a recipe and the folders of its models. `merge` carries it out, `verify_merge`
repeats a merge and compares it. `plan_merge` makes the plan that `write_merge` carries out, and
that `MergedModel` holds in memory.
"""

from .checkpoints.checkpoint import Checkpoint
from .engines.stream import WriteReport, write_merge
from .execution import MergeResult, merge
from .live.merged_model import MergedModel
from .methods.method import TensorWeights
from .planning.job import MergeJob
from .planning.merge_plan import MergePlan, TensorTask
from .planning.recipe_resolver import plan_merge
from .recipes.presets import PUBLISHED, Preset, list_presets, load_preset
from .recipes.reader import parse_recipe, read_recipe
from .recipes.recipe import MergeRecipe, ModelRef
from .recipes.weight_schedule import WeightSchedule
from .similarity import CosineSummary, TensorReport, summarize_cosines, tensor_reports
from .verification import Verification, verify_merge

__all__ = [
    "PUBLISHED",
    "Checkpoint",
    "CosineSummary",
    "MergeJob",
    "MergePlan",
    "MergeRecipe",
    "MergeResult",
    "MergedModel",
    "ModelRef",
    "Preset",
    "TensorReport",
    "TensorTask",
    "TensorWeights",
    "Verification",
    "WeightSchedule",
    "WriteReport",
    "list_presets",
    "load_preset",
    "merge",
    "parse_recipe",
    "plan_merge",
    "read_recipe",
    "summarize_cosines",
    "tensor_reports",
    "verify_merge",
    "write_merge",
]
