"""Options of searches: who may be found, which system ranks, which judgements count."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from console.option_groups import Needs, Values
from patientdx.errors import UsageError
from patientdx.records import Filter, Unit

from . import options
from .model_options import GeneratorOptions

if TYPE_CHECKING:
    from expander import SystemSettings
    from indexer.index import Index
    from patientdx.formats import QueryFields
    from workflows.generators import GeneratorSettings
    from workflows.judgements import JudgedQueries

K1 = Annotated[float | None, typer.Option("--k1", help="BM25 k1 (default: that of the index).")]
B = Annotated[float | None, typer.Option("--b", help="BM25 b (default: that of the index).")]
Depth = Annotated[int, typer.Option("--depth", min=1, help="Number of hits per query.")]
Measures = Annotated[
    str, typer.Option("--measures", help="Measures by their names in ir_measures.")
]
TableFormat = Annotated[
    str, typer.Option("--format", help="Format of the table: text, markdown, latex or json.")
]
Vocabulary = Annotated[
    list[Path] | None,
    typer.Option(
        "--vocabulary", help="OBO or CSV file of concepts, for synonyms; may be repeated."
    ),
]
WriteRun = Annotated[
    Path | None, typer.Option("--write-run", help="Write the hits to this file as a TREC run.")
]


@dataclass(frozen=True)
class FilterOptions:
    """Who may be among the hits."""

    sex: Annotated[str | None, typer.Option("--sex", help="Only patients of this sex: F or M.")] = (
        None
    )
    age: Annotated[
        str | None,
        typer.Option("--age", help="Only patients of this age in years: 60-80, 60-, -2, 44."),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="Only notes whose field passes: ward=ICU,HDU; ward!=ICU; los>=3; los=3..7; "
            "charttime>=2180-05. May be repeated: all must pass.",
        ),
    ] = None
    note_type: Annotated[
        str | None,
        typer.Option("--note-type", help="Only notes of these types: --where note_type=TYPE,TYPE."),
    ] = None

    def filter(self) -> Filter:
        """The filter. Raises UsageError for values that cannot be used."""
        return options.filter_from(self.sex, self.age, self.where, self.note_type)


@dataclass(frozen=True)
class UnitOptions:
    """What a hit is, and how notes make the score of a patient."""

    by: Annotated[str, typer.Option("--by", help="What to list: patient or note.")] = "patient"
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            help="Score of a patient with several notes: max (the best note), or sum:K (the K "
            "best together).",
        ),
    ] = "max"

    def open_index(self, folder: Path | None) -> "Index":
        """The index with hits of this kind. Raises UsageError for an unknown kind."""
        if self.by not in get_args(Unit):
            raise UsageError(f"--by is patient or note, not `{self.by}`")
        return options.open_index(folder).with_unit(cast("Unit", self.by), self.pool)


@dataclass(frozen=True)
class SystemOptions(GeneratorOptions):
    """Which system ranks the hits of one query or many, and what its strategies use."""

    expand: Annotated[
        str | None,
        typer.Option(
            "--expand",
            help="Expand the query: phrases (recommended), keywords, query2doc, grounded (by a "
            "language model), rm3, rocchio, synonyms or reduce.",
        ),
    ] = None
    fuse: Annotated[
        str | None,
        typer.Option(
            "--fuse",
            help="Fuse the hits of the query and of the expanded one: rrf, min-max, z-score.",
        ),
    ] = None
    settings: Annotated[
        Path | None, typer.Option("--settings", help="The system and numbers that tune-ir wrote.")
    ] = None
    vocabulary: Vocabulary = None
    k1: K1 = None
    b: B = None

    def system(self) -> "SystemSettings":
        """The system that --expand and --fuse name or a file of settings holds."""
        from workflows.systems import resolve_system

        return resolve_system(self.expand, self.fuse, self.settings, self.k1, self.b)

    def resources(self) -> dict[str, Any]:
        """Keyword arguments of workflows: the generator and the vocabularies."""
        return {
            "generator": generator_settings(self),
            "vocabularies": tuple(self.vocabulary or ()),
        }


@dataclass(frozen=True)
class QueryFieldOptions:
    """Which fields of a file of queries are read."""

    query_id_field: Annotated[
        str | None, typer.Option("--query-id-field", help="Column or key of the id of queries.")
    ] = None
    query_text_field: Annotated[
        str | None,
        typer.Option(
            "--query-text-field",
            help="Column, key or part of a topic that is the text of queries, or several: "
            "title+desc (default: text, query ...; of TREC topics summary, description, title).",
        ),
    ] = None

    def query_fields(self) -> "QueryFields":
        """The fields that are named."""
        from patientdx.formats import QueryFields

        return QueryFields(self.query_id_field, self.query_text_field)


QUERY_FIELDS = tuple(field.name for field in fields(QueryFieldOptions))
"""Parameters of QueryFieldOptions, for rules."""


@dataclass(frozen=True)
class JudgementOptions(QueryFieldOptions):
    """Which queries and judgements are used."""

    data: Annotated[
        Path | None,
        typer.Option("--data", help="BEIR, ReCDS or CliniQ folder of queries and qrels."),
    ] = None
    split: Annotated[str, typer.Option("--split", help="Split of the judgements of --data.")] = (
        "test"
    )
    queries: Annotated[str | None, typer.Option("--queries", help="File of queries.")] = None
    qrels: Annotated[str | None, typer.Option("--qrels", help="File of relevance judgements.")] = (
        None
    )

    own_notes: Annotated[
        Literal["auto", "drop", "keep"],
        typer.Option(
            "--own-notes",
            help="Whether a note with the id of the query is dropped from its ranking (auto: in "
            "ReCDS folders, and where its text is the query's).",
        ),
    ] = "auto"
    empty_queries: Annotated[
        Literal["leave-out", "zero"],
        typer.Option(
            "--empty-queries",
            help="Judged queries with an empty text: left out and counted, or scored 0 (zero).",
        ),
    ] = "leave-out"

    def judged_queries(self) -> "JudgedQueries":
        """The files. Raises UsageError unless one way is named."""
        from workflows.judgements import find_judged_queries

        return find_judged_queries(
            self.data,
            self.split,
            self.queries,
            self.qrels,
            fields=self.query_fields(),
            empty_queries=self.empty_queries,
        )


@dataclass(frozen=True)
class DevJudgementOptions(JudgementOptions):
    """Judgements to tune by: of the split `dev`, never of `test`."""

    split: Annotated[str, typer.Option("--split", help="Split of the judgements of --data.")] = (
        "dev"
    )

    def judged_queries(self) -> "JudgedQueries":
        """The files. Raises UsageError for the split `test`."""
        if self.data is not None and self.split == "test":
            raise UsageError("tuning does not look at the test split", hint="--split dev")
        return super().judged_queries()


def generator_settings(chosen: GeneratorOptions) -> "GeneratorSettings":
    """The generator that options name, with the reply cache of the cache folder."""
    from workflows.generators import GeneratorSettings, reply_cache_path

    cache = None if chosen.no_cache else reply_cache_path(options.settings().cache)
    return GeneratorSettings(
        chosen.model, chosen.model_settings(context=chosen.context_size), cache
    )


def check_table_format(name: str, *more: str) -> None:
    """Raise UsageError for a format that tables do not have; `more` are formats of the command."""
    from evaluator import FORMATS

    formats = (*FORMATS, *more)
    if name not in formats:
        raise UsageError(
            f"`{name}` is not a format of tables", hint=f"formats are {', '.join(formats)}"
        )


MODEL_OPTIONS = tuple(field.name for field in fields(GeneratorOptions))
"""Parameters of GeneratorOptions, for rules."""


Condition = Callable[[Values], bool]


def asks_a_model(*names: str) -> Condition:
    """A condition for rules: one of these options names a strategy that asks a language model."""

    def condition(values: Values) -> bool:
        from expander import PROMPTED_STRATEGIES

        return _names_a_strategy(values, names, PROMPTED_STRATEGIES)

    return condition


def uses_vocabulary(*names: str) -> Condition:
    """A condition for rules: one of these options names the strategy `synonyms`."""
    return lambda values: _names_a_strategy(values, names, ("synonyms",))


def _names_a_strategy(values: Values, names: Iterable[str], strategies: Iterable[str]) -> bool:
    """Whether an option names one of the strategies, or a settings file may hold one."""
    text = " ".join(_words(values[name]) for name in names if values[name])
    return any(strategy in text for strategy in strategies) or bool(values.get("settings"))


def _words(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(map(str, value))


SYSTEM_RULES = (
    Needs(
        MODEL_OPTIONS,
        asks_a_model("expand"),
        "model options go with --expand keywords, query2doc or grounded",
    ),
    Needs(("vocabulary",), uses_vocabulary("expand"), "--vocabulary goes with --expand synonyms"),
)
"""Rules of SystemOptions."""

UNIT_RULES = (
    Needs(("pool",), lambda values: values["by"] == "patient", "--pool is for hits by patient"),
)
"""Rules of UnitOptions."""
