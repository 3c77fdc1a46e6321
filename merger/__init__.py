"""Model merging: MergeKit's recipes, a streaming engine of our own, and MergeKit's.

`read_recipe` and a `Job` tell what is to be merged; `merge` does it, `verify` does it again.
`plan_merge` gives the plan that `write_merge` carries out.
"""

from .checkpoints.checkpoint import Checkpoint
from .engines.stream import Written, write_merge
from .live.merged_model import MergedModel
from .live.mixes import Mix
from .merging import Merged, merge
from .planning.job import Job
from .planning.merge_plan import MergePlan, TensorTask
from .planning.planner import plan_merge
from .recipes.presets import PUBLISHED, Preset, preset, presets
from .recipes.reader import parse_recipe, read_recipe
from .recipes.recipe import ModelRef, Recipe
from .recipes.schedule import Schedule, Share
from .similarity import CosineSummary, TensorReport, summary, tensor_reports
from .verify import Verified, verify

__all__ = [
    "PUBLISHED",
    "Checkpoint",
    "CosineSummary",
    "Job",
    "MergePlan",
    "Merged",
    "MergedModel",
    "Mix",
    "ModelRef",
    "Preset",
    "Recipe",
    "Schedule",
    "Share",
    "TensorReport",
    "TensorTask",
    "Verified",
    "Written",
    "merge",
    "parse_recipe",
    "plan_merge",
    "preset",
    "presets",
    "read_recipe",
    "summary",
    "tensor_reports",
    "verify",
    "write_merge",
]
