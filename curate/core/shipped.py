"""What ships with the package: recipes by bare name, cards, the example; found from any folder."""

from __future__ import annotations

from pathlib import Path

from curate.core.errors import RecipeError, nearest


def shipped(name: str) -> Path:
    """Where a file that ships lies, e.g. "data_cards/template.md": inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    return (package if (package / "recipes").is_dir() else package.parent) / name


def located(path: Path) -> Path:
    """A path from the working folder; where nothing lies there, `examples/…` is what ships, whatever folder one is in."""
    return shipped(path.as_posix()) if path.parts[:1] == ("examples",) and not path.exists() else path


def bundled(name: str) -> Path:
    """The recipe that ships under a bare name.

    Raises:
        RecipeError: there is none of this name; the nearest is told.

    Example:
        >>> bundled("kto_s").name
        'kto_s.yaml'
    """
    recipes = shipped_recipes()
    if name not in recipes:
        raise RecipeError(f"recipe {name}: neither a file here nor a recipe that ships", hint=nearest(name, recipes))
    return recipes[name]


def shipped_recipes() -> dict[str, Path]:
    """Bare name -> file, of every recipe that ships, for `align` and for `curate`."""
    folder = shipped("recipes")
    return {path.stem: path for path in sorted([*folder.glob("*.yaml"), *folder.glob("curate/*.yaml")])}


def recipe_file(name: str | Path, folder: Path = Path()) -> Path:
    """The file that a recipe's name stands for: a path from a folder, else by its bare name a recipe that ships.

    Args:
        name: a path, or a name without folder and ending.
        folder: where a path starts.

    Raises:
        RecipeError: neither a file nor a name that ships.
    """
    path = folder / name
    if path.is_file() or len(Path(name).parts) > 1 or Path(name).suffix:
        return path
    return bundled(str(name))
