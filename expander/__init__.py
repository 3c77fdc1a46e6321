"""Query expansion and fusion: strategies, the cache of replies, searchers that use them."""

from .cache import ReplyCache, clear_cache, reply_key
from .cached_generator import CachedGenerator, Counts, Done, Reply
from .concepts import ConceptFinder, Mention
from .expand import Expansion, expand_queries, expansion_row
from .fusion import NORMS, RRF, Fusion, ScoreFusion
from .grounded import Grounded, GroundedSettings
from .keywords import Keywords, KeywordsSettings
from .phrases import PhraseSearcher, PhraseSettings
from .prompted import PromptedExpander, read_prompt
from .query2doc import Query2Doc, Query2DocSettings
from .ranx_fusion import FUSIONS, RANX_METHODS, RanxFusion, make_fusion
from .recorded import RecordedExpander, read_expansions
from .reduce import Reduce, ReduceSettings
from .rm3 import Rm3, Rm3Settings
from .rocchio import Rocchio, RocchioSettings
from .search import ExpandedSearcher, FusedSearcher, RankingExpandedSearcher, expanded_searcher
from .strategies import STRATEGIES, Means, Strategy, make_strategy
from .synonyms import Synonyms, SynonymsSettings
from .system_settings import SystemSettings, default_axes, system_settings
from .vocabulary import Concept, Name, read_vocabulary

__all__ = [
    "FUSIONS",
    "NORMS",
    "RANX_METHODS",
    "RRF",
    "STRATEGIES",
    "CachedGenerator",
    "Concept",
    "ConceptFinder",
    "Counts",
    "Done",
    "ExpandedSearcher",
    "Expansion",
    "FusedSearcher",
    "Fusion",
    "Grounded",
    "GroundedSettings",
    "Keywords",
    "KeywordsSettings",
    "Means",
    "Mention",
    "Name",
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
    "Reply",
    "ReplyCache",
    "Rm3",
    "Rm3Settings",
    "Rocchio",
    "RocchioSettings",
    "ScoreFusion",
    "Strategy",
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
