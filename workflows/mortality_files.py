"""Files of a mortality evaluation: predictions for meds-evaluation, and figures of its curves."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluator.mortality.plots import plot_curves
from evaluator.mortality.predictions_file import write_predictions

from .mortality import MortalityEvaluation


def write_prediction_files(evaluation: MortalityEvaluation, folder: Path) -> list[Path]:
    """Write TASK.MODEL.parquet for each task and model; the folder is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for task, by_model in evaluation.predictions.items():
        for model, prediction in by_model.items():
            path = prediction_file(folder, task, model)
            write_predictions(path, prediction, evaluation.sample.outcomes)
            paths.append(path)
    return paths


def draw_curves(evaluation: MortalityEvaluation, paths: Sequence[Path]) -> list[Path]:
    """Draw the curves of each task to each .png or .svg file, with the task added to its name.

    Raises EvaluationError for another suffix, and where all died or all lived.
    """
    drawn = []
    for task in evaluation.predictions if paths else ():
        task_paths = curve_files(paths, [task])
        plot_curves(evaluation.results, task, task_paths)
        drawn += task_paths
    return drawn


def prediction_file(folder: Path, task: str, model: str) -> Path:
    """The file of a model's predictions of a task."""
    return folder / f"{_file_name(task)}.{_file_name(model)}.parquet"


def curve_files(paths: Iterable[Path], tasks: Sequence[str]) -> list[Path]:
    """The files of the curves of some tasks, whose names are added to those of the files."""
    return [path.with_stem(f"{path.stem}-{_file_name(task)}") for path in paths for task in tasks]


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-._" else "_" for sign in name)
