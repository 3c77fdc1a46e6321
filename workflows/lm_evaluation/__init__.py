"""Tasks of lm-evaluation-harness on models in memory, without any hub.

`HarnessTask` is one task with one of its metrics, `HarnessModel` a live model for the harness.
"""

from .harness_model import HarnessModel
from .tasks import HarnessTask, TaskName

__all__ = ["HarnessModel", "HarnessTask", "TaskName"]
