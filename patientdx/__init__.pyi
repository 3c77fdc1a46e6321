# The public API for type checkers: the same names as in __init__.py, which a test compares.
# The build of a wheel rewrites the imports (see hatch_build.py).
from evaluator import compare_systems as compare_systems
from evaluator import cross_validate as cross_validate
from evaluator import evaluate_run as evaluate_run
from evaluator import evaluate_searcher as evaluate_searcher
from evaluator import plot_differences as plot_differences
from evaluator import tune_searcher as tune_searcher
from evaluator.cohorts import Cohort as Cohort
from evaluator.cohorts import read_cohort as read_cohort
from evaluator.cohorts.settings import CohortSettings as CohortSettings
from expander import RRF as RRF
from expander import FusedSearcher as FusedSearcher
from expander import PhraseSearcher as PhraseSearcher
from expander import PhraseSettings as PhraseSettings
from expander import StrategyResources as StrategyResources
from expander import SystemSettings as SystemSettings
from expander import expanding_searcher as expanding_searcher
from expander import make_fusion as make_fusion
from expander import make_strategy as make_strategy
from indexer.analysis import AnalysisSettings as AnalysisSettings
from indexer.bm25 import BM25Settings as BM25Settings
from indexer.index import Index as Index
from indexer.verify import verify_index as verify_index
from indexer.writer import add_patients as add_patients
from indexer.writer import build_index as build_index
from indexer.writer import compact_index as compact_index
from indexer.writer import delete_patients as delete_patients
from merger import MergedModel as MergedModel
from merger import MergeRecipe as MergeRecipe
from merger import MergeResult as MergeResult
from merger import read_recipe as read_recipe
from patientdx.conditions import parse_condition as parse_condition
from patientdx.errors import PatientDxError as PatientDxError
from patientdx.formats import QueryFields as QueryFields
from patientdx.formats import QueryReport as QueryReport
from patientdx.formats import read_patients as read_patients
from patientdx.formats import read_qrels as read_qrels
from patientdx.formats import read_queries as read_queries
from patientdx.formats import read_run as read_run
from patientdx.formats import write_run as write_run
from patientdx.frames import to_frame as to_frame
from patientdx.models import ModelSettings as ModelSettings
from patientdx.models import ScriptedModel as ScriptedModel
from patientdx.models import open_model as open_model
from patientdx.protocols import GenerationSettings as GenerationSettings
from patientdx.protocols import PatientIndex as PatientIndex
from patientdx.protocols import Prompt as Prompt
from patientdx.records import Facet as Facet
from patientdx.records import Filter as Filter
from patientdx.records import Hit as Hit
from patientdx.records import Patient as Patient
from patientdx.records import Qrels as Qrels
from patientdx.records import Query as Query
from patientdx.records import Run as Run
from patientdx.records import ranked as ranked
from patientdx.sample import sample_folder as sample_folder
from workflows.cohorts import build_cohort as build_cohort
from workflows.cohorts import describe_cohort as describe_cohort
from workflows.generators import GeneratorSettings as GeneratorSettings
from workflows.judgements import JudgedQueries as JudgedQueries
from workflows.lambda_search import LambdaSearch as LambdaSearch
from workflows.lambda_search import LmEvalSource as LmEvalSource
from workflows.lambda_search import MergeTuning as MergeTuning
from workflows.lambda_search import ModelSet as ModelSet
from workflows.lambda_search import QuerySource as QuerySource
from workflows.lambda_search import RetentionMeasure as RetentionMeasure
from workflows.lambda_search import StaySource as StaySource
from workflows.lambda_search import TextSource as TextSource
from workflows.lambda_search import tune_merge as tune_merge
from workflows.merge_recipes import TaskArithmeticMerge as TaskArithmeticMerge
from workflows.merge_recipes import TwoModelMerge as TwoModelMerge
from workflows.merges import check_merge as check_merge
from workflows.merges import merge as merge
from workflows.merges import verify_merge as verify_merge
from workflows.mortality import MortalityEvaluation as MortalityEvaluation
from workflows.mortality import evaluate_mortality as evaluate_mortality
from workflows.retrieval_evaluation import RetrievalEvaluation as RetrievalEvaluation
from workflows.retrieval_evaluation import evaluate_runs as evaluate_runs
from workflows.searching import SearchResult as SearchResult
from workflows.searching import search_patients as search_patients
from workflows.searching import similar_patients as similar_patients

__version__: str

__all__ = [
    "RRF",
    "AnalysisSettings",
    "BM25Settings",
    "Cohort",
    "CohortSettings",
    "Filter",
    "FusedSearcher",
    "GenerationSettings",
    "GeneratorSettings",
    "Hit",
    "Index",
    "JudgedQueries",
    "LambdaSearch",
    "LmEvalSource",
    "MergeRecipe",
    "MergeResult",
    "MergeTuning",
    "MergedModel",
    "ModelSet",
    "ModelSettings",
    "MortalityEvaluation",
    "Patient",
    "PatientDxError",
    "PatientIndex",
    "PhraseSearcher",
    "PhraseSettings",
    "Prompt",
    "Qrels",
    "Query",
    "QueryFields",
    "QueryReport",
    "QuerySource",
    "RetentionMeasure",
    "RetrievalEvaluation",
    "Run",
    "ScriptedModel",
    "SearchResult",
    "StaySource",
    "StrategyResources",
    "SystemSettings",
    "TaskArithmeticMerge",
    "TextSource",
    "TwoModelMerge",
    "add_patients",
    "build_cohort",
    "build_index",
    "check_merge",
    "compact_index",
    "compare_systems",
    "cross_validate",
    "delete_patients",
    "describe_cohort",
    "evaluate_mortality",
    "evaluate_run",
    "evaluate_runs",
    "evaluate_searcher",
    "expanding_searcher",
    "make_fusion",
    "make_strategy",
    "merge",
    "open_model",
    "plot_differences",
    "ranked",
    "read_cohort",
    "read_patients",
    "read_qrels",
    "read_queries",
    "read_recipe",
    "read_run",
    "sample_folder",
    "search_patients",
    "similar_patients",
    "to_frame",
    "tune_merge",
    "tune_searcher",
    "verify_index",
    "verify_merge",
    "write_run",
]
