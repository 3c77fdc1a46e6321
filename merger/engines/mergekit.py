"""The engine that is MergeKit itself, run through its Python API, on folders and offline."""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from merger.recipes.recipe import MergeRecipe, ModelRef
from merger.recipes.writer import rename_models
from patientdx.capabilities import require_package
from patientdx.errors import MergeError


def mergekit_version() -> str:
    """The version of the MergeKit that is installed. Raises ExtraMissingError without one."""
    from importlib.metadata import version

    require_package("mergekit", "merge")
    return version("mergekit")


def run_mergekit(
    recipe: MergeRecipe,
    folders: Mapping[ModelRef, Path],
    into: Path,
    *,
    adapters: Mapping[ModelRef, Path] | None = None,
    truncate: bool = False,
    shard_size: int = 5_000_000_000,
) -> None:
    """Weights and config.json of a merge, written into a new folder by MergeKit.

    `folders` tells where each input lies, `adapters` the LoRA of some; `truncate` cuts
    vocabularies to the smallest. A tokenizer is written where the recipe speaks of one. Raises
    MergeError with what MergeKit says, and ExtraMissingError where it is not installed.
    """
    require_package("mergekit", "merge")
    with _silence():
        from mergekit.config import MergeConfiguration
        from mergekit.io.tasks import LoaderCache
        from mergekit.merge import run_merge
        from mergekit.options import MergeOptions

        options = MergeOptions(
            copy_tokenizer=False,
            write_model_card=False,
            quiet=True,
            unsafe_truncate_embeddings=truncate,
            out_shard_size=shard_size,
            lora_merge_cache=str(into / ".adapters"),
        )
        _close_inputs(LoaderCache)
        try:
            plain = local_recipe(recipe, folders, adapters or {})
            config = MergeConfiguration.model_validate(plain)
            run_merge(config, str(into), options)
        # Its errors have no common root; all say what is wrong.
        except (RuntimeError, ValueError, TypeError, KeyError, AssertionError, OSError) as error:
            raise _mergekit_error(error, recipe) from error
        finally:
            _close_inputs(LoaderCache)
            shutil.rmtree(into / ".adapters", ignore_errors=True)


def local_recipe(
    recipe: MergeRecipe, folders: Mapping[ModelRef, Path], adapters: Mapping[ModelRef, Path]
) -> dict[str, Any]:
    """The plain recipe with folders in place of names, so that no hub is asked."""
    places = {
        ref: ModelRef(
            str(folder.absolute()),
            lora=str(adapters[ref].absolute()) if ref in adapters else None,
        ).to_yaml_value()
        for ref, folder in folders.items()
    }
    return dict(rename_models(recipe.to_dict(), places))


def _close_inputs(cache: Any) -> None:
    """Closes the inputs: MergeKit keeps them by name, and the same name may come again."""
    cache().flush_all()
    cache.loaders.clear()


def _mergekit_error(error: BaseException, recipe: MergeRecipe) -> MergeError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # A validation error has its reason on the third line, below a count and a place.
    reason = " ".join(lines[1:3]) if "validation error" in str(error)[:80] else "".join(lines[:1])
    return MergeError(
        f"MergeKit refuses {recipe.name}: {reason or type(error).__name__}",
        hint="its documents tell what each method needs: https://github.com/arcee-ai/mergekit",
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps what MergeKit and its libraries log and warn of away from the terminal."""
    root = logging.getLogger()
    silent = logging.NullHandler()  # without any handler, the first message makes a loud one
    root.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(silent)
