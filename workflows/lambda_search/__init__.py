"""The search for λ: merges in memory are judged on stays, queries or texts, and one is chosen.

A `ModelSet` says which models are merged, an `InstanceSource` what they are judged by, a
`LambdaSearch` how weights are searched for. `tune_merge` searches; `MergeTuner` does so in steps.
"""

from .live_merges import LiveMerge
from .lm_eval_source import LmEvalSource
from .model_sets import ModelSet
from .query_source import QuerySource
from .results import MergeAblation, MergeChoice, MergeTuning
from .retention import RetentionMeasure
from .search import LambdaSearch
from .sources import InstanceSource
from .stay_source import StaySource
from .text_source import TextSource
from .tuner import MergeTuner, tune_merge

__all__ = [
    "InstanceSource",
    "LambdaSearch",
    "LiveMerge",
    "LmEvalSource",
    "MergeAblation",
    "MergeChoice",
    "MergeTuner",
    "MergeTuning",
    "ModelSet",
    "QuerySource",
    "RetentionMeasure",
    "StaySource",
    "TextSource",
    "tune_merge",
]
