"""PatientDx: find the patients like this one, with a model no patient's data ever trained.

The public face. Names are resolved when first used, so that importing this package costs
nothing, and to whichever place they are installed in: side by side in a checkout, inside this
package in a wheel.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_KERNEL = {
    "Filter": "records",
    "GenerationSettings": "protocols",
    "Hit": "records",
    "ModelSettings": "models",
    "Patient": "records",
    "PatientDxError": "errors",
    "Prompt": "protocols",
    "Qrels": "records",
    "Query": "records",
    "Run": "records",
    "ScriptedModel": "models",
    "open_model": "models",
    "ranked": "records",
    "read_patients": "formats",
    "read_qrels": "formats",
    "read_queries": "formats",
    "read_run": "formats",
    "sample_folder": "sample",
    "write_run": "formats",
}
_ROOMS = {
    "AnalysisSettings": "indexer.analysis",
    "BM25Settings": "indexer.bm25",
    "FusedSearcher": "expander",
    "Index": "indexer.index",
    "PhraseSearcher": "expander",
    "PhraseSettings": "expander",
    "RRF": "expander",
    "StrategyResources": "expander",
    "add_patients": "indexer.writer",
    "build_index": "indexer.writer",
    "compact_index": "indexer.writer",
    "compare_systems": "evaluator",
    "cross_validate": "evaluator",
    "delete_patients": "indexer.writer",
    "evaluate_run": "evaluator",
    "evaluate_searcher": "evaluator",
    "expanding_searcher": "expander",
    "make_fusion": "expander",
    "make_strategy": "expander",
    "plot_differences": "evaluator",
    "tune_searcher": "evaluator",
    "verify_index": "indexer.verify",
}
_ORIGINAL = {
    "tune_searcher": "tune",
}

__all__ = sorted([*_KERNEL, *_ROOMS])  # noqa: PLE0605 - a list of names, computed from the tables


def __getattr__(name: str) -> Any:
    if name in _KERNEL:
        module = f"{__name__}.{_KERNEL[name]}"
    elif name in _ROOMS:
        inside = (Path(__file__).parent / "indexer").is_dir()
        module = f"{__name__}.{_ROOMS[name]}" if inside else _ROOMS[name]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), _ORIGINAL.get(name, name))


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
