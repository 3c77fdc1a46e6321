"""Query expansion and fusion: strategies, the reply cache, and the searchers built from them."""

from .cached_generator import CachedGenerator, GenerationProgress, ModelReply, ReplyCounts
from .concepts.concept import Concept, ConceptName
from .concepts.finder import ConceptFinder, Mention
from .concepts.vocabulary import read_vocabulary
from .expansions import Expansion, expand_queries, expansion_row
from .fusion.fusion import Fusion
from .fusion.ranx import RANX_METHODS, RanxFusion
from .fusion.registry import FUSIONS, make_fusion
from .fusion.rrf import RRF
from .fusion.score_fusion import NORMS, ScoreFusion
from .prompts import read_prompt
from .reply_cache import ReplyCache, clear_cache, reply_key
from .strategies.grounded import Grounded, GroundedSettings
from .strategies.keywords import Keywords, KeywordsSettings
from .strategies.prompted import PromptedExpander
from .strategies.query2doc import Query2Doc, Query2DocSettings
from .strategies.recorded import RecordedExpander, read_expansions
from .strategies.reduce import Reduce, ReduceSettings
from .strategies.registry import (
    PROMPTED_STRATEGIES,
    STRATEGIES,
    Strategy,
    StrategyResources,
    make_strategy,
)
from .strategies.rm3 import Rm3, Rm3Settings
from .strategies.rocchio import Rocchio, RocchioSettings
from .strategies.synonyms import Synonyms, SynonymsSettings
from .systems.builder import build_searcher
from .systems.phrase_settings import PhraseSettings
from .systems.phrases import PhraseSearcher
from .systems.searchers import (
    ExpandingRankingSearcher,
    ExpandingSearcher,
    FusedSearcher,
    expanding_searcher,
)
from .systems.settings import SystemSettings, parse_system_settings
from .systems.system import System, parse_system
from .systems.tuning_axes import default_axes

__all__ = [
    "FUSIONS",
    "NORMS",
    "PROMPTED_STRATEGIES",
    "RANX_METHODS",
    "RRF",
    "STRATEGIES",
    "CachedGenerator",
    "Concept",
    "ConceptFinder",
    "ConceptName",
    "ExpandingRankingSearcher",
    "ExpandingSearcher",
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
    "System",
    "SystemSettings",
    "build_searcher",
    "clear_cache",
    "default_axes",
    "expand_queries",
    "expanding_searcher",
    "expansion_row",
    "make_fusion",
    "make_strategy",
    "parse_system",
    "parse_system_settings",
    "read_expansions",
    "read_prompt",
    "read_vocabulary",
    "reply_key",
]
