"""PatientDx: find the patients like this one, with a model no patient's data ever trained.

This is the whole public API. A name is imported when it is first used, so importing the package
costs nothing. `__init__.pyi` beside this file says the same to type checkers; a test holds both
together. In a wheel all packages lie inside `patientdx` (see hatch_build.py).
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "AnalysisSettings": "indexer.analysis",
    "BM25Settings": "indexer.bm25",
    "Cohort": "evaluator.cohorts",
    "CohortSettings": "evaluator.cohorts.settings",
    "Facet": "patientdx.records",
    "Filter": "patientdx.records",
    "FusedSearcher": "expander",
    "GenerationSettings": "patientdx.protocols",
    "GeneratorSettings": "workflows.generators",
    "Hit": "patientdx.records",
    "Index": "indexer.index",
    "JudgedQueries": "workflows.judgements",
    "LambdaSearch": "workflows.lambda_search",
    "LmEvalSource": "workflows.lambda_search",
    "MergeRecipe": "merger",
    "MergeResult": "merger",
    "MergeTuning": "workflows.lambda_search",
    "MergedModel": "merger",
    "ModelSet": "workflows.lambda_search",
    "ModelSettings": "patientdx.models",
    "MortalityEvaluation": "workflows.mortality",
    "Patient": "patientdx.records",
    "PatientDxError": "patientdx.errors",
    "PatientIndex": "patientdx.protocols",
    "PhraseSearcher": "expander",
    "PhraseSettings": "expander",
    "Prompt": "patientdx.protocols",
    "Qrels": "patientdx.records",
    "Query": "patientdx.records",
    "QueryFields": "patientdx.formats",
    "QueryReport": "patientdx.formats",
    "QuerySource": "workflows.lambda_search",
    "RRF": "expander",
    "RetentionMeasure": "workflows.lambda_search",
    "RetrievalEvaluation": "workflows.retrieval_evaluation",
    "Run": "patientdx.records",
    "ScriptedModel": "patientdx.models",
    "SearchResult": "workflows.searching",
    "StaySource": "workflows.lambda_search",
    "StrategyResources": "expander",
    "SystemSettings": "expander",
    "TaskArithmeticMerge": "workflows.merge_recipes",
    "TextSource": "workflows.lambda_search",
    "TwoModelMerge": "workflows.merge_recipes",
    "add_patients": "indexer.writer",
    "build_cohort": "workflows.cohorts",
    "build_index": "indexer.writer",
    "check_merge": "workflows.merges",
    "compact_index": "indexer.writer",
    "compare_systems": "evaluator",
    "cross_validate": "evaluator",
    "delete_patients": "indexer.writer",
    "describe_cohort": "workflows.cohorts",
    "evaluate_mortality": "workflows.mortality",
    "evaluate_run": "evaluator",
    "evaluate_runs": "workflows.retrieval_evaluation",
    "evaluate_searcher": "evaluator",
    "expanding_searcher": "expander",
    "make_fusion": "expander",
    "make_strategy": "expander",
    "merge": "workflows.merges",
    "open_model": "patientdx.models",
    "parse_condition": "patientdx.conditions",
    "plot_differences": "evaluator",
    "ranked": "patientdx.records",
    "read_cohort": "evaluator.cohorts",
    "read_patients": "patientdx.formats",
    "read_qrels": "patientdx.formats",
    "read_queries": "patientdx.formats",
    "read_recipe": "merger",
    "read_run": "patientdx.formats",
    "sample_folder": "patientdx.sample",
    "search_patients": "workflows.searching",
    "similar_patients": "workflows.searching",
    "to_frame": "patientdx.frames",
    "tune_merge": "workflows.lambda_search",
    "tune_searcher": "evaluator",
    "verify_index": "indexer.verify",
    "verify_merge": "workflows.merges",
    "write_run": "patientdx.formats",
}
"""Public name -> the module that defines it, as a checkout spells it."""

__all__ = sorted(_MODULES)  # noqa: PLE0605 - a list of names, computed from the table


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULES[name]
    in_wheel = (Path(__file__).parent / "indexer").is_dir()
    if in_wheel and not module.startswith("patientdx."):
        module = f"patientdx.{module}"
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
