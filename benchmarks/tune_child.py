"""One way to search for λ, in a process of its own; prints what it measured as a line of JSON.

    python benchmarks/tune_child.py ours|written JOB

JOB is JSON: `pair`, `cohort` (or null), `stays`, `dtype`, `method`, `threads`, `lambdas`,
`scratch`. Seconds are those after imports and after one record was asked about by the first
model, so that no way pays for what happens once a process.
"""

import gc
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import peak_mb
from tune_models import Stays, read_stays

from patientdx.models.settings import ModelSettings
from patientdx.models.torch.loading import load
from patientdx.models.torch.model import HfModel

Rows = list[dict[str, Any]]


def recipe(pair: list[str], method: str, t: float) -> dict[str, Any]:
    """MergeKit's, in the bfloat16 that the models are kept in."""
    models: list[dict[str, Any]] = [{"model": folder} for folder in pair]
    made: dict[str, Any] = {"merge_method": method, "dtype": "bfloat16", "base_model": pair[0]}
    if method == "slerp":
        return made | {"models": models, "parameters": {"t": t}}
    for model, weight in zip(models, (round(1 - t, 10), t), strict=True):
        model["parameters"] = {"weight": weight}
    return made | {"models": models}


def log_odds(model: Any, stays: Stays) -> list[float]:
    """Log-odds of death: the code that both ways share."""
    from evaluator.mortality.answering import answer_questions
    from evaluator.mortality.predictions import prediction_from_answers
    from evaluator.mortality.question import PAPER_QUESTION

    return list(
        map(
            float,
            prediction_from_answers(
                answer_questions(model, stays.records), PAPER_QUESTION
            ).log_odds,
        )
    )


def opened(folder: Path, settings: ModelSettings) -> HfModel:
    """By transformers; without the digest of the weights that `HfModel.load` takes."""
    loaded = load(folder, settings)
    return HfModel.wrap(loaded.model, loaded.tokenizer, digest="", settings=settings)


def ours(job: dict[str, Any], stays: Stays, settings: ModelSettings) -> dict[str, Any]:
    from merger.checkpoints.checkpoint import Checkpoint
    from merger.live.merged_model import MergedModel
    from merger.planning.recipe_resolver import plan_merge
    from merger.recipes.reader import parse_recipe
    from merger.recipes.writer import to_yaml

    began = perf_counter()
    made = parse_recipe(to_yaml(recipe(job["pair"], job["method"], 0.5)))
    inputs = [Checkpoint.open(Path(folder)) for folder in job["pair"]]
    model = MergedModel.load(plan_merge(made, inputs), settings=settings)
    once = perf_counter() - began
    rows: Rows = []
    for t in job["lambdas"]:
        began = perf_counter()
        model.remix(t, method=job["method"])
        swapped = perf_counter()
        odds = log_odds(model, stays)
        spent = {"make": swapped - began, "load": 0.0, "score": perf_counter() - swapped}
        rows.append({"t": t, "odds": odds, **spent})
    return {"once": once, "rows": rows}


def by_mergekit(job: dict[str, Any], stays: Stays, settings: ModelSettings) -> dict[str, Any]:
    """The paper's way; a merge is removed when it has been scored, off the clock."""
    from mergekit.config import MergeConfiguration
    from mergekit.io.tasks import LoaderCache
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    into, rows = Path(job["scratch"]) / "merge", []
    for t in job["lambdas"]:
        began = perf_counter()
        made = MergeConfiguration.model_validate(recipe(job["pair"], job["method"], t))
        run_merge(made, str(into), MergeOptions(quiet=True, write_model_card=False))
        LoaderCache().flush_all()
        LoaderCache.loaders.clear()
        written = perf_counter()
        model = opened(into, settings)
        loaded = perf_counter()
        odds = log_odds(model, stays)
        spent = {"make": written - began, "load": loaded - written}
        rows.append({"t": t, "odds": odds, **spent, "score": perf_counter() - loaded})
        model.close()
        del model
        gc.collect()
        shutil.rmtree(into)
    return {"once": 0.0, "rows": rows}


WAYS: dict[str, Callable[[dict[str, Any], Stays, ModelSettings], dict[str, Any]]] = {
    "ours": ours,
    "written": by_mergekit,
}


def main() -> None:
    import mergekit.merge  # noqa: F401 - off the clock, for both alike

    import merger.live.merged_model
    import merger.planning.recipe_resolver
    import merger.recipes.reader  # noqa: F401

    way, job = sys.argv[1], json.loads(sys.argv[2])
    cohort = job["cohort"] and Path(job["cohort"])
    stays = read_stays(cohort, job["stays"])
    settings = ModelSettings(dtype=job["dtype"], threads=job["threads"])
    first = opened(Path(job["pair"][0]), settings)
    log_odds(first, Stays(stays.records[:1], stays.died[:1]))
    first.close()
    del first
    gc.collect()
    result = WAYS[way](job, stays, settings)
    print(json.dumps(result | {"peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main()
