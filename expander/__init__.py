"""Query expansion and fusion: strategies, the reply cache, and the searchers built from them."""

from .cached_generator import CachedGenerator, GenerationProgress, ModelReply, ReplyCounts
from .concepts.concept import Concept, ConceptName
from .concepts.finder import ConceptFinder, Mention
from .concepts.vocabulary import read_vocabulary
from .expansions import Expansion, expand_queries, expansion_row
from .fusion.methods import NORMS, RRF, Fusion, ScoreFusion
from .fusion.ranx import FUSIONS, RANX_METHODS, RanxFusion, make_fusion
from .prompts import read_prompt
from .reply_cache import ReplyCache, clear_cache, reply_key
from .strategies.grounded import Grounded, GroundedSettings
from .strategies.keywords import Keywords, KeywordsSettings
from .strategies.prompted import PromptedExpander
from .strategies.query2doc import Query2Doc, Query2DocSettings
from .strategies.recorded import RecordedExpander, read_expansions
from .strategies.reduce import Reduce, ReduceSettings
from .strategies.registry import STRATEGIES, Strategy, StrategyResources, make_strategy
from .strategies.rm3 import Rm3, Rm3Settings
from .strategies.rocchio import Rocchio, RocchioSettings
from .strategies.synonyms import Synonyms, SynonymsSettings
from .systems.phrases import PhraseSearcher, PhraseSettings
from .systems.searchers import (
    ExpandedSearcher,
    FusedSearcher,
    RankingExpandedSearcher,
    expanded_searcher,
)
from .systems.settings import SystemSettings, default_axes, system_settings

__all__ = [
    "FUSIONS",
    "NORMS",
    "RANX_METHODS",
    "RRF",
    "STRATEGIES",
    "CachedGenerator",
    "Concept",
    "ConceptFinder",
    "ConceptName",
    "ExpandedSearcher",
    "Expansion",
    "FusedSearcher",
    "Fusion",
    "GenerationProgress",
    "Grounded",
    "GroundedSettings",
    "Keywords",
    "KeywordsSettings",
    "Mention",
    "ModelReply",
    "PhraseSearcher",
    "PhraseSettings",
    "PromptedExpander",
    "Query2Doc",
    "Query2DocSettings",
    "RankingExpandedSearcher",
    "RanxFusion",
    "RecordedExpander",
    "Reduce",
    "ReduceSettings",
    "ReplyCache",
    "ReplyCounts",
    "Rm3",
    "Rm3Settings",
    "Rocchio",
    "RocchioSettings",
    "ScoreFusion",
    "Strategy",
    "StrategyResources",
    "Synonyms",
    "SynonymsSettings",
    "SystemSettings",
    "clear_cache",
    "default_axes",
    "expand_queries",
    "expanded_searcher",
    "expansion_row",
    "make_fusion",
    "make_strategy",
    "read_expansions",
    "read_prompt",
    "read_vocabulary",
    "reply_key",
    "system_settings",
]
