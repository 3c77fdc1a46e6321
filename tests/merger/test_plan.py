"""Plans: pieces of trimmed and grown tensors, and the refusals of what inputs do not allow."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

from merger.checkpoints.checkpoint import Checkpoint
from merger.planning.merge_plan import MergePlan, Piece, TensorTask
from patientdx.errors import MergeError

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, ...]:
    """Embeddings of 50, 53 and 47 rows."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = (50, 53, 47)
    return tuple(
        Checkpoint.open(tiny.write(folder / str(n), tiny.random_tensors(n, vocabulary=n)))
        for n in rows
    )


def embedding(rows: int, *weights: float) -> TensorTask:
    return TensorTask(EMBEDDING, "BF16", (rows, 16), "linear", weights)


def pieces(inputs: tuple[Checkpoint, ...], task: TensorTask, base: int = 0) -> list[Piece]:
    plan = MergePlan(inputs, (task,), base)
    plan.check()
    return [Piece(a // 16, b // 16, sources, merged) for a, b, sources, merged in plan.pieces(task)]


def test_rows_are_merged_where_all_have_them_and_copied_where_not(
    inputs: tuple[Checkpoint, ...],
) -> None:
    thirds = (0.2, 0.3, 0.5)
    everyone = (0, 1, 2)
    assert pieces(inputs, embedding(40, *thirds)) == [Piece(0, 40, everyone, merged=True)]
    assert pieces(inputs, embedding(50, *thirds)) == [
        Piece(0, 47, everyone, merged=True),
        Piece(47, 50, (0,), merged=False),
    ]
    assert pieces(inputs, embedding(53, *thirds)) == [
        Piece(0, 47, everyone, merged=True),
        Piece(47, 50, (0,), merged=False),
        Piece(50, 53, (1,), merged=False),
    ]
    assert pieces(inputs, embedding(53, *thirds), base=1) == [
        Piece(0, 47, everyone, merged=True),
        Piece(47, 53, (1,), merged=False),
    ]
    # An input of weight 0 takes no part in the merge, but may give rows.
    assert pieces(inputs, embedding(53, 1.0, 0.0, 0.0)) == [
        Piece(0, 50, (0,), merged=True),
        Piece(50, 53, (1,), merged=False),
    ]


def test_tensors_without_rows_and_empty_ones(tmp_path: Path) -> None:
    tensors = {"scalar": tiny.Tensor(2.5), "empty": tiny.Tensor([]), "wide": tiny.Tensor([[], []])}
    inputs = (Checkpoint.open(tiny.write(tmp_path / "a", tensors)),) * 2
    for name, tensor in tensors.items():
        task = TensorTask(name, "BF16", tensor.shape, "slerp", (0.5, 0.5))
        expected = [Piece(0, 1, (0, 1), merged=True)] if name == "scalar" else []
        assert MergePlan(inputs, (task,)).pieces(task) == expected


REFUSED = {
    "more rows than there are": (embedding(54, 0.5, 0.5, 0.0), "no input has all of its 54 rows"),
    "weights": (embedding(50, 0.5, 0.5), "a weight for each of the inputs"),
    "no weight": (embedding(50, 0.0, 0.0, 0.0), "a weight for each of the inputs"),
    "three": (
        embedding(50, 0.1, 0.2, 0.7)._replace(method="slerp"),
        "slerp merges 2 inputs, not 3",
    ),
    "two copies": (embedding(50, 0.5, 0.5, 0.0)._replace(method="copy"), "a copy is of one input"),
    "missing": (embedding(50, 1.0, 0.0, 0.0)._replace(name="none"), "tensor `none` is missing"),
    "columns": (embedding(50, 1.0, 0.0, 0.0)._replace(shape=(50, 17)), r"its shape is \[50, 16\]"),
    "flat": (embedding(50, 1.0, 0.0, 0.0)._replace(shape=(800,)), r"its shape is \[50, 16\]"),
    "dtype": (embedding(50, 0.5, 0.5, 0.0)._replace(dtype="I64"), "BF16 cannot be merged into I64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_inputs_do_not_allow_is_refused(inputs: tuple[Checkpoint, ...], name: str) -> None:
    task, problem = REFUSED[name]
    with pytest.raises(MergeError, match=problem):
        MergePlan(inputs, (task,)).check()


def test_no_tensor_is_written_twice(inputs: tuple[Checkpoint, ...]) -> None:
    task = embedding(50, 1.0, 0.0, 0.0)
    with pytest.raises(MergeError, match="writes a tensor twice"):
        MergePlan(inputs, (task, task)).check()


def test_the_digest_distinguishes_plans(inputs: tuple[Checkpoint, ...]) -> None:
    plan = MergePlan(inputs, (embedding(50, 0.2, 0.3, 0.5),))
    again = tuple(Checkpoint.open(each.folder) for each in inputs)
    assert plan.digest == MergePlan(again, plan.tensors).digest
    others = [
        replace(plan, inputs=inputs[::-1]),
        replace(plan, base=1),
        replace(plan, tensors=()),
        replace(plan, tensors=(embedding(50, 0.3, 0.2, 0.5),)),
        replace(plan, tensors=(plan.tensors[0]._replace(work="F16"),)),
    ]
    assert len({plan.digest, *(other.digest for other in others)}) == 6
    assert plan.nbytes == 50 * 16 * 2
