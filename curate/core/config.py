"""Recipes: YAML into frozen, typed configs; an unknown key or a wrong value is an error that says what would do."""

from __future__ import annotations

import copyreg
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, dataclass_transform, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from curate.core.errors import RecipeError, nearest
from curate.core.shipped import recipe_file, shipped_recipes

T = TypeVar("T")

MAX_BYTES = 1_000_000  # a recipe is a page of text; anything larger is a mistake or an attack
MAX_NODES = 100_000  # values after YAML aliases are expanded: an alias bomb stops here

_OWN: dict[type, tuple[str, str]] = {}  # a user's own class -> its name as the recipe has it, and the hash of its file
SOURCE_HASH = "source_hash"  # beside such a class's options in what `plain` gives: an edited file is another part


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a recipe config: a frozen, keyword-only dataclass whose fields are checked and are its recipe keys."""
    checked = _pydantic_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(cls)
    return cast("type[T]", checked)


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
        _put(tree, key, value, setting)
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
        value = "" if first["type"] == "missing" else f", found {_show(first['input'])}"
        cure = f"write '{place}: ...' there" if first["type"] == "missing" else None
        raise RecipeError(f"{where}: {place}: {first['msg'].lower()}{value}", hint=cure) from None


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
    cls = class_of(table, name, where, kind)
    if cls in _OWN and isinstance(options, Mapping):
        options = {key: value for key, value in options.items() if key != SOURCE_HASH}
    return build(cls, options, f"{where}: {name}")


def class_of(table: Mapping[str, type], name: object, where: str, kind: str) -> type:
    """The class that a recipe's word stands for: one that ships, or a user's own, which naming it imports.

    A user's own is looked for beside the recipe that names it, in the working folder, and among installed modules.

    Args:
        table: recipe word -> config class.
        name: a word of the table, `module:Class` or `./file.py:Class`.
        where: what to call this place in an error.
        kind: what the table holds; what a user's class must have then, `curate.core.contracts.SEAMS` says.

    Raises:
        RecipeError: no such word; a file that is not there or does not import; a class that lacks what its place asks for.
    """
    from curate.core.contracts import OWN, SEAMS, check_own, own_module

    if isinstance(name, str) and name in table:
        return table[name]
    if not isinstance(name, str) or kind not in SEAMS or not OWN.fullmatch(name):
        raise RecipeError(f"{where}: no {kind} {name!r}", hint=f"{nearest(str(name), table)}")
    code, source_hash = own_module(name, f"{where}: {name}")
    word = name.rpartition(":")[2]
    cls = getattr(code, word, None)
    if not isinstance(cls, type):
        classes = [one for one, value in vars(code).items() if isinstance(value, type) and value.__module__ == code.__name__]
        raise RecipeError(f"{where}: {name}: {code.__file__} has no class {word!r}", hint=nearest(word, classes))
    check_own(cls, kind, f"{where}: {name}")  # each time: one class may stand in two places
    if cls not in _OWN:
        _OWN[cls] = (str(name), source_hash)
        copyreg.pickle(cls, lambda one: (choose, ({}, {name: plain(one)}, str(name), kind)))  # another process loads the file too
    return cls


def chosen_name(table: Mapping[str, type], instance: object) -> str:
    """The recipe word of a config that `choose` made, as it was written."""
    return own_name(instance) or next(name for name, cls in table.items() if type(instance) is cls)


def own_name(instance: object) -> str | None:
    """The same for a user's own class; None for what ships."""
    return _OWN.get(type(instance), (None,))[0]


def file_word(name: str) -> str:
    """A recipe word as part of a file's name.

    Example:
        >>> file_word("near_duplicates"), file_word("./parts/mine.py:NoShouting")
        ('near_duplicates', 'parts-mine-py-NoShouting')
    """
    return re.sub(r"\W+", "-", name).strip("-")


def plain(instance: object) -> Any:  # noqa: ANN401 - a JSON value
    """A config as plain values, every default written out: what the manifest records and what keys are hashed from."""
    if dataclasses.is_dataclass(instance) and not isinstance(instance, type):
        options = {field.name: plain(getattr(instance, field.name)) for field in dataclasses.fields(instance)}
        return options | ({SOURCE_HASH: _OWN[type(instance)][1]} if type(instance) in _OWN else {})
    if isinstance(instance, Mapping):
        return {str(key): plain(value) for key, value in instance.items()}
    if isinstance(instance, (list, tuple)):
        return [plain(value) for value in instance]
    return instance if isinstance(instance, (int, float, bool, type(None))) else str(instance)  # of what is more than a text, too


def _load(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    from curate.core.contracts import placed

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
    tree = cast("dict[str, Any]", placed(tree, path.parent))
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


def _put(tree: Any, path: str, value: object, setting: str) -> None:  # noqa: ANN401 - plain YAML values
    """Set one value; a step into a list is an index or the name of one of its entries (`stages.length.min_chars=3`)."""
    step, rest = _step(tree, path)
    while rest is not None:
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
        step, rest = _step(tree, rest)
    if isinstance(tree, list):
        tree[_index(tree, step, setting)] = value
    else:
        tree[step] = value


def _step(tree: object, path: str) -> tuple[str, str | None]:
    """The first step of a path, and what is left of it; the name of a list's entry may hold dots (`./parts/mine.py:Part`)."""
    for name in _entry_names(tree) if isinstance(tree, list) else ():
        if path == name or path.startswith(f"{name}."):
            return name, path[len(name) + 1 :] if path != name else None
    step, dot, rest = path.partition(".")
    return step, rest if dot else None


def _entry_names(items: Sequence[object]) -> list[str]:
    """What a list's entries are called: `name`, or `{name: {option: value}}`."""
    return [name for item in items if isinstance(name := next(iter(item), "") if isinstance(item, dict) else item, str) and name]


def _index(items: list[Any], step: str, setting: str) -> int:
    if step.isdigit() and int(step) < len(items):
        return int(step)
    for index, item in enumerate(items):
        if item == step:
            items[index] = {step: {}}
        if item == step or (isinstance(item, dict) and list(item) == [step]):
            return index
    raise RecipeError(f"--set {setting}: no entry {step!r} in this list", hint=nearest(step, _entry_names(items)))


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


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
