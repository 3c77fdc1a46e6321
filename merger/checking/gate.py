"""The final gate for both engines: what a merge has written, before it is published."""

from pathlib import Path

from merger.checkpoints.checkpoint import Checkpoint
from merger.planning.job import PreparedMerge
from merger.recipes.recipe import MergeRecipe
from patientdx.errors import MergeError

from .consistency import find_contradictions, find_vocabulary_problems
from .expected_tensors import check_parts, check_tensors, expect_tensors


def check_output(folder: Path, prepared: PreparedMerge, recipe: MergeRecipe) -> None:
    """Raises MergeError unless a folder holds the merge, whole.

    Names, shapes and dtypes are those that inputs and recipe demand, and config.json, tensors and
    tokenizer agree. What already contradicts itself in the base is no fault of the merge: input
    checks refuse it, or report it by a remark. A tokenizer has no token without a row in any case.
    """
    engine = "MergeKit" if prepared.engine == "mergekit" else "the streaming engine"
    written = Checkpoint.open(folder)
    expected = expect_tensors(prepared, recipe)
    if expected:
        check_tensors(written.tensors, expected, engine)
    else:
        check_parts(written, prepared.base, engine)
    problems = find_contradictions(written)
    if len(problems) <= len(find_contradictions(prepared.base)):
        problems = []
    problems += find_vocabulary_problems(written)
    if problems:
        raise MergeError(
            f"the merge contradicts itself: {'; '.join(problems)}",
            hint="nothing was written; merge other layers, or set the vocabulary in the recipe",
        )
