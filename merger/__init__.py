"""Model merging: MergeKit's recipes, a streaming engine of our own, and MergeKit's.

`read_recipe` and a `Job` tell what is to be merged; `merge` does it, `verify` does it again.
`plan_merge` gives the plan that `write_merge` carries out.
"""

from .checkpoint import Checkpoint
from .job import Job
from .merged_model import MergedModel
from .merging import Merged, merge
from .mixes import Mix
from .plan import MergePlan, TensorTask
from .planning import plan_merge
from .presets import PUBLISHED, Preset, preset, presets
from .recipe import ModelRef, Recipe
from .recipe_reader import parse_recipe, read_recipe
from .report import CosineSummary, TensorReport, summary, tensor_reports
from .schedule import Schedule, Share
from .stream import Written, write_merge
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
