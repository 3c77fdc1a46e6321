"""The MergeKit engine: runs MergeKit through its Python API, on folders and offline."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merger.checkpoints.full_config import configuration_errors
from merger.recipes.mergekit_methods import is_random_method
from merger.recipes.recipe import MergeRecipe, ModelRef
from merger.recipes.writer import rename_models
from patientdx.capabilities import require_package
from patientdx.errors import MergeError

from .mergekit_layout import MergekitLayout, choose_architecture
from .mergekit_messages import quiet_mergekit
from .seeded_methods import seed_recipe, torch_threads
from .stable_order import stable_order


@dataclass(frozen=True)
class MergekitSettings:
    """How MergeKit runs: `truncate` cuts vocabularies to the smallest, `shard_size` is in bytes.

    `seed` is that of a random method (None: other numbers each time), `threads` the number of
    torch's threads (None: as many as torch likes).
    """

    truncate: bool = False
    shard_size: int = 5_000_000_000
    seed: int | None = None
    threads: int | None = None


def mergekit_version() -> str:
    """The version of the installed MergeKit. Raises ExtraMissingError if there is none."""
    from importlib.metadata import version

    require_package("mergekit", "merge")
    return version("mergekit")


def run_mergekit(
    recipe: MergeRecipe,
    folders: Mapping[ModelRef, Path],
    into: Path,
    *,
    adapters: Mapping[ModelRef, Path] | None = None,
    settings: MergekitSettings | None = None,
    shape: MergekitLayout | None = None,
) -> None:
    """Lets MergeKit write the weights and config.json of a merge into a new folder.

    `folders` has the folder of each input, `adapters` that of its LoRA adapter if it has one. A
    tokenizer is written if the recipe sets one. With a `shape` the tensors are those that it has,
    and the configuration is its own; without it MergeKit derives both.
    Raises MergeError with MergeKit's message, and ExtraMissingError if it is not installed.
    """
    require_package("mergekit", "merge")
    settings = settings or MergekitSettings()
    with quiet_mergekit() as messages:
        from mergekit.common import ModelReference
        from mergekit.config import MergeConfiguration
        from mergekit.io.tasks import LoaderCache
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

        options = MergeOptions(
            copy_tokenizer=False,
            write_model_card=False,
            quiet=True,
            unsafe_truncate_embeddings=settings.truncate,
            out_shard_size=settings.shard_size,
            lora_merge_cache=str(into / ".adapters"),
        )
        _close_inputs(LoaderCache)
        try:
            plain = local_recipe(recipe, folders, adapters or {})
            names = _local_names(recipe, folders, adapters or {}).values()
            models = [ModelReference.model_validate(name) for name in names]
            if settings.seed is not None and is_random_method(recipe.method):
                plain = seed_recipe(plain, settings.seed)
            with torch_threads(settings.threads), stable_order(models):
                config = MergeConfiguration.model_validate(plain)
                if shape is None:
                    run_merge(config, str(into), options)
                else:
                    _run_layout(config, into, options, shape)
            messages.check()
        # Its errors have no common base class, but all have a useful message.
        except configuration_errors() as error:
            raise _mergekit_error(error, recipe) from error
        finally:
            _close_inputs(LoaderCache)
            shutil.rmtree(into / ".adapters", ignore_errors=True)


def _run_layout(config: Any, into: Path, options: Any, shape: MergekitLayout) -> None:
    """What MergeKit's `run_merge` does, with an architecture and a configuration of our own."""
    from mergekit.graph import Executor
    from mergekit.io.tasks import LoaderCache
    from mergekit.plan import MergePlanner
    from mergekit.tokenizer import TokenizerInfo

    base = (config.base_model or config.referenced_models()[0]).config()
    into.mkdir(exist_ok=True)
    path = into / "config.json"
    path.write_text(json.dumps(dict(shape.config)), encoding="utf-8")
    out_config = type(base).from_json_file(path)  # which reads infinite numbers, as files have them
    architecture = choose_architecture(shape, base, out_config)
    LoaderCache().setup(options=options)
    planner = MergePlanner(config, architecture, options=options, out_model_config=out_config)
    executor = Executor(
        targets=planner.plan_to_disk(out_path=str(into)),
        math_device=options.device,
        storage_device=options.device if options.low_cpu_memory else "cpu",
    )
    for _, value in executor.run(quiet=True):
        if isinstance(value, TokenizerInfo):
            value.tokenizer.save_pretrained(into, safe_serialization=True)
    path.write_text(json.dumps(dict(shape.config)), encoding="utf-8")


def local_recipe(
    recipe: MergeRecipe, folders: Mapping[ModelRef, Path], adapters: Mapping[ModelRef, Path]
) -> dict[str, Any]:
    """The recipe with folders in place of names, so that no hub is contacted.

    The chat template is left out: it is set afterwards, whether MergeKit writes a tokenizer or not.
    """
    plain = {key: value for key, value in recipe.to_dict().items() if key != "chat_template"}
    return dict(rename_models(plain, _local_names(recipe, folders, adapters)))


def _local_names(
    recipe: MergeRecipe, folders: Mapping[ModelRef, Path], adapters: Mapping[ModelRef, Path]
) -> dict[ModelRef, Any]:
    """The folders of the inputs as YAML names them, in the order of the recipe."""
    return {
        ref: ModelRef(
            str(folders[ref].absolute()),
            lora=str(adapters[ref].absolute()) if ref in adapters else None,
        ).to_yaml_value()
        for ref in recipe.inputs
    }


def _close_inputs(cache: Any) -> None:
    """Closes the inputs, which MergeKit caches by name, as another model may get the same name."""
    cache().flush_all()
    cache.loaders.clear()


def _mergekit_error(error: BaseException, recipe: MergeRecipe) -> MergeError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # A validation error has a count and a path first, and its reason on the third line.
    reason = " ".join(lines[1:3]) if "validation error" in str(error)[:80] else "".join(lines[:1])
    return MergeError(
        f"MergeKit refuses {recipe.name}: {reason or type(error).__name__}",
        hint="its documentation lists what each method needs: https://github.com/arcee-ai/mergekit",
    )
