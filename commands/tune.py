"""`tune-ir`: the numbers of a retrieval system, chosen on a dev split."""

from pathlib import Path
from typing import Annotated

import typer

from console.option_groups import Excludes, Needs, command
from console.output import Output
from console.output_files import NewFiles

from . import options
from .model_options import GeneratorOptions
from .query_options import (
    MODEL_OPTIONS,
    UNIT_RULES,
    Depth,
    DevJudgementOptions,
    TableFormat,
    UnitOptions,
    Vocabulary,
    asks_a_model,
    check_table_format,
    generator_settings,
    uses_vocabulary,
)

System = Annotated[
    str,
    typer.Option("--system", help="phrases, bm25, a strategy or a fusion such as rrf(bm25,rm3)."),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid",
        help="Values to try, the default first: k1=0.9,1.2 b=0.4 rrf_k=60,20 weights=1:1,1:0.5 "
        "rm3.terms=10,20 phrases.pair_weight=0.5,1; may be repeated.",
    ),
]
Measures = Annotated[
    str,
    typer.Option("--measures", help="Measures; the first decides, the others are shown."),
]
FoldCount = Annotated[
    int,
    typer.Option("--folds", min=2, help="Number of cross-validation folds (split by query)."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the split into folds.")]
Into = Annotated[
    Path | None, typer.Option("--into", help="Write the chosen settings to this file.")
]


@command(
    Needs(
        MODEL_OPTIONS,
        asks_a_model("system"),
        "model options go with --system keywords and the like",
    ),
    Needs(("vocabulary",), uses_vocabulary("system"), "--vocabulary goes with --system synonyms"),
    Needs(("split",), lambda values: values["data"] is not None, "--split goes with --data"),
    *UNIT_RULES,
    Excludes(("as_json", "table_format")),
    NewFiles("into"),
)
def tune_ir(
    index: options.IndexFolder = None,
    system: System = "phrases",
    grid: Grid = None,
    measures: Measures = "nDCG@10",
    folds: FoldCount = 5,
    seed: Seed = 0,
    depth: Depth = 1000,
    into: Into = None,
    vocabulary: Vocabulary = None,
    table_format: TableFormat = "text",
    *,
    judgements: DevJudgementOptions,
    unit: UnitOptions,
    model: GeneratorOptions,
    output: Output,
) -> None:
    """Choose k1, b, weights and the like on judged queries, and report what that is worth.

    Shown are the values of queries under settings chosen without them (cross-validation), beside
    those of the defaults. The file goes to search, similar and evaluate-ir as --settings.

    Example:
        patientdx tune-ir --index my-index --data ReCDS --system phrases --into tuned.json
    """
    check_table_format(table_format)
    judged = judgements.judged_queries()
    from evaluator import render_table, split_measures
    from workflows.retrieval_tuning import tune_system

    tuning = tune_system(
        unit.open_index(index),
        judged,
        system,
        grid_values=grid or (),
        measures=split_measures(measures),
        folds=folds,
        seed=seed,
        depth=depth,
        generator=generator_settings(model),
        vocabularies=tuple(vocabulary or ()),
        own_notes=judgements.own_notes,
        monitor=output,
    )
    if into is not None:
        tuning.write_settings(into)
        output.notice(f"written to {into}")
    typer.echo(render_table(tuning.table(), "json" if output.as_json else table_format), nl=False)
