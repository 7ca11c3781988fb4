"""Recipes: YAML into frozen, typed configs; an unknown key or a wrong value is an error that says what would do."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from curate.core.errors import RecipeError

T = TypeVar("T")

MAX_BYTES = 1_000_000  # a recipe is a page of text; anything larger is a mistake or an attack
MOST_NAMED = 30  # words that a hint lists
MAX_NODES = 100_000  # values after YAML aliases are expanded: an alias bomb stops here


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a recipe config: a frozen, keyword-only dataclass whose fields are checked and are its recipe keys."""
    made = _pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)
    return cast("type[T]", made)


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


def load(path: Path, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe, what it `extends` (relative to it), and `a.b=c` settings on top, into plain values.

    Mappings merge key by key; any other value replaces the earlier one. A bare name stands for a recipe that ships.

    Raises:
        RecipeError: unreadable, not YAML, not a mapping, an `extends` that returns to itself, or a setting that is not `a.b=c`.
    """
    tree = _load(recipe_file(path), ())
    for setting in sets:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise RecipeError(f"--set {setting}: found no '=', expected a.b=c")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        _put(tree, key.split("."), value, setting)
    return tree


def build(cls: type[T], tree: object, where: str) -> T:
    """Make a config from plain values.

    Args:
        cls: a class made by `config`.
        tree: its fields by name; `None` stands for none given.
        where: what to call this place in an error, e.g. "recipes/x.yaml: stages[2]".

    Raises:
        RecipeError: unknown key (with the nearest known one) or a value of the wrong type or out of range.
    """
    tree = {} if tree is None else tree
    if not isinstance(tree, Mapping):
        raise RecipeError(f"{where}: expected options as 'key: value', found {_show(tree)}")
    _check_keys(cls, tree, where)
    try:
        return TypeAdapter(cls).validate_python(dict(tree))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        found = "" if first["type"] == "missing" else f", found {_show(first['input'])}"
        raise RecipeError(f"{where}: {place}: {first['msg'].lower()}{found}") from None


def choose(table: Mapping[str, type], entry: object, where: str, kind: str) -> Any:  # noqa: ANN401 - the table says
    """Make the config that a list entry names: `name`, or `{name: {option: value}}`.

    Args:
        table: recipe word -> config class.
        entry: what the recipe holds there.
        where: what to call this place in an error.
        kind: what the table holds, for the error: "stage", "objective".
    """
    if isinstance(entry, str):
        name, options = entry, None
    elif isinstance(entry, Mapping) and len(entry) == 1:
        name, options = next(iter(entry.items()))
    else:
        raise RecipeError(f"{where}: expected the name of one {kind}, or 'name: {{options}}', found {_show(entry)}")
    if name not in table:
        raise RecipeError(f"{where}: no {kind} {name!r}", hint=nearest(str(name), table))
    return build(table[name], options, f"{where}: {name}")


def chosen_name(table: Mapping[str, type], instance: object) -> str:
    """The recipe word of a config that `choose` made."""
    return next(name for name, cls in table.items() if type(instance) is cls)


def plain(instance: object) -> Any:  # noqa: ANN401 - a JSON value
    """A config as plain values, every default written out: what the manifest records and what keys are hashed from."""
    if dataclasses.is_dataclass(instance) and not isinstance(instance, type):
        return {field.name: plain(getattr(instance, field.name)) for field in dataclasses.fields(instance)}
    if isinstance(instance, Mapping):
        return {str(key): plain(value) for key, value in instance.items()}
    if isinstance(instance, (list, tuple)):
        return [plain(value) for value in instance]
    return instance if isinstance(instance, (str, int, float, bool, type(None))) else str(instance)


def _load(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        cure = f"{path.stem!r} alone names the one that ships" if path.stem in shipped_recipes() else "check the path"
        raise RecipeError(f"{path}: cannot read this recipe ({error.strerror})", hint=cure) from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{path}: {len(data):,} bytes is no recipe", hint=f"at most {MAX_BYTES:,}")
    try:
        tree = yaml.safe_load(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise RecipeError(f"{path}: {line}not YAML ({getattr(error, 'problem', None) or 'nested too deep'})") from None
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: expected 'key: value' lines, found {_show(tree)}")
    _count(tree, path)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise RecipeError(f"{path}: extends: expected a file name, found {_show(parent)}")
    base = recipe_file(parent, path.parent)
    if base.resolve() in (*seen, path.resolve()):
        raise RecipeError(f"{path}: extends: {parent} comes back to itself", hint="remove one of the two")
    return _merge(_load(base, (*seen, path.resolve())), tree)


def _count(tree: object, path: Path) -> None:
    nodes, stack = 0, [tree]
    while stack:
        node = stack.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise RecipeError(f"{path}: more than {MAX_NODES:,} values once aliases are expanded", hint="write them out")
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        earlier = merged.get(key)
        merged[key] = _merge(earlier, value) if isinstance(earlier, dict) and isinstance(value, Mapping) else value
    return merged


def _put(tree: Any, path: Sequence[str], value: object, setting: str) -> None:  # noqa: ANN401 - plain YAML values
    """Set one value; a step into a list is an index or the name of one of its entries (`stages.length.min_chars=3`)."""
    *steps, last = path
    for step in steps:
        if isinstance(tree, list):
            tree = tree[_index(tree, step, setting)]
            if isinstance(tree, dict) and list(tree) == [step]:
                tree[step] = tree[step] or {}
                tree = tree[step]
        elif isinstance(tree, dict):
            if not isinstance(tree.get(step), (dict, list)):
                tree[step] = {}
            tree = tree[step]
        else:
            raise RecipeError(f"--set {setting}: nothing lies below {step!r}")
    if isinstance(tree, list):
        tree[_index(tree, last, setting)] = value
    else:
        tree[last] = value


def _index(items: list[Any], step: str, setting: str) -> int:
    if step.isdigit() and int(step) < len(items):
        return int(step)
    for index, item in enumerate(items):
        if item == step:
            items[index] = {step: {}}
        if item == step or (isinstance(item, dict) and list(item) == [step]):
            return index
    names = [item if isinstance(item, str) else next(iter(item), "") for item in items if isinstance(item, (str, dict))]
    raise RecipeError(f"--set {setting}: no entry {step!r} in this list", hint=nearest(step, names))


def _check_keys(cls: type, tree: Mapping[Any, Any], where: str) -> None:
    """Walk nested configs before pydantic does, so that a misspelt key names its nearest neighbour at any depth."""
    if not dataclasses.is_dataclass(cls):
        return
    known = {field.name for field in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    for key, value in tree.items():
        if key not in known:
            raise RecipeError(f"{where} has no option {str(key)!r}", hint=nearest(str(key), known))
        inner = hints[key]
        if isinstance(inner, type) and get_origin(inner) is None and isinstance(value, Mapping):
            _check_keys(inner, value, f"{where}: {key}")


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not known: the known one nearest to it, else all that are known.

    Args:
        word: what was written.
        known: what would have done.

    Example:
        >>> nearest("treshold", ["threshold", "window"])
        "did you mean 'threshold'?"
        >>> nearest("x", ["threshold", "window"])
        'known: threshold, window'
    """
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    more = " ..." if len(words) > MOST_NAMED else ""
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(words[:MOST_NAMED])}{more}"


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
