"""What the arguments of `merge` mean, and what is wrong with an order that means nothing."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from patientdx.errors import UsageError

_SUFFIXES = frozenset({".yml", ".yaml"})


def check_arguments(
    models: Sequence[str],
    into: Path | None,
    method: str | None,
    preset: str | None,
    *,
    has_base: bool = False,
) -> None:
    """Raises UsageError for a recipe among other arguments, or a folder that --into should name.

    With a base, any number of models may be named.
    """
    recipes = [name for name in models if _is_recipe(name)]
    others = [name for name in models if name not in recipes]
    if into is not None and _is_recipe(str(into)) and not recipes:
        raise UsageError(
            f"--into names the folder to make, and `{into}` is a recipe",
            hint=_command([into], others[0] if len(others) == 1 else "OUT"),
        )
    if recipes:
        _check_recipes(recipes, others, into, method or preset)
    elif has_base:
        return
    elif method is not None and len(models) == 3 and into is None and not _is_model(models[2]):
        raise UsageError(
            f"--method merges two models, and 3 are named: the folder to make, `{models[2]}`, goes "
            "behind --into",
            hint=_command(["--method", method, "--weight", "0.4", *models[:2]], models[2]),
        )
    elif method is None and preset is None and len(models) != 1:
        models = models if len(models) == 2 else ["A", "B"]
        raise UsageError(
            "a recipe, --preset or --method is needed",
            hint=_command(["--method", "slerp", "--weight", "0.4", *models], into or "OUT"),
        )


def _check_recipes(
    recipes: Sequence[str], others: Sequence[str], into: Path | None, method: str | None
) -> None:
    first = recipes[0]
    if len(recipes) > 1:
        raise UsageError(
            f"{len(recipes)} recipes are named, and a merge has one",
            hint=f"merge them one by one: {_command([first], into or 'OUT')}",
        )
    if method is not None:
        raise UsageError(
            f"`{first}` is a recipe, which has a method and models of its own: `{method}` has no "
            "effect beside it",
            hint=_command([first], into or "OUT"),
        )
    if len(others) == 1 and into is None:
        raise UsageError(
            f"beside the recipe `{first}` stands `{others[0]}`: the folder to make goes behind "
            "--into",
            hint=_command([first], others[0]),
        )
    if others:
        raise UsageError(
            f"the recipe `{first}` names its models, so `{others[0]}` has no effect",
            hint=_command([first], into or "OUT"),
        )


def _is_recipe(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in _SUFFIXES and not path.is_dir()


def _is_model(name: str) -> bool:
    return (Path(name) / "config.json").exists()


def _command(arguments: Sequence[object], into: object) -> str:
    return shlex.join(["patientdx", "merge", *map(str, arguments), "--into", str(into)])
