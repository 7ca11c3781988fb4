"""What the recipe says of a table, and what a public set's own rules say: held against the columns that are there."""

from __future__ import annotations

from curate.core.errors import RecipeError, nearest
from curate.raw.mining.columns import Bindings, TableSample
from curate.raw.mining.names import NEEDED, PINNABLE, SEVERAL
from curate.raw.sources import Kind


def pinned(sample: TableSample, _: Bindings) -> Bindings:
    """The columns that the recipe names.

    Raises:
        RecipeError: no such role, no such column, or several columns for a role that one plays.
    """
    where = f"sources: {sample.settings.match}: columns"
    bindings: Bindings = {}
    for role, names in sample.settings.columns.items() if sample.records else ():
        if role not in PINNABLE:
            raise RecipeError(f"{where}: no role {role!r}", hint=nearest(role, PINNABLE))
        columns = (names,) if isinstance(names, str) else tuple(names)
        if len(columns) != 1 and role not in SEVERAL:
            problem = f"{where}: {role}: found {len(columns)} columns, expected one"
            raise RecipeError(problem, hint=f"name one; only {' and '.join(SEVERAL)} take several")
        for column in columns:
            if column not in sample.values:
                problem = f"{where}: {role}: {sample.place} has no column {column!r}"
                raise RecipeError(problem, hint=nearest(column, sample.values))
        bindings[role] = columns
    return bindings


def public_set(sample: TableSample) -> str | None:
    """The public set that the recipe says this is, else, where the recipe says nothing of labels, the one that the header shows.

    Raises:
        RecipeError: no such set, or a column of it that is not there.
    """
    policy, name = sample.policy, sample.settings.known
    if name is None:
        return None if sample.labels_pinned else policy.recognise(list(sample.values), sample.place)
    where = f"sources: {sample.settings.match}: known"
    if name not in policy.sources:
        raise RecipeError(f"{where}: no public set {name!r}", hint=nearest(name, policy.sources))
    missing = [column for column in policy.sources[name].columns if column not in sample.values]
    if missing and sample.values:
        problem = f"{where}: {sample.place} has no column {missing[0]!r}, which {name} has"
        raise RecipeError(problem, hint="take this line out")
    return name


def public_texts(sample: TableSample, _: Bindings) -> Bindings:
    """The columns in which a public set has its toxic texts and their rewrites."""
    known = public_set(sample)
    texts = sample.policy.sources[known].texts if known is not None else {}
    if not texts:
        return {}
    there = {column: toxic for column, toxic in texts.items() if column in sample.values}
    return {
        "toxic_text": tuple(column for column, toxic in there.items() if toxic),
        "neutral": tuple(column for column, toxic in there.items() if not toxic),
    }


def public_label(sample: TableSample, bindings: Bindings) -> Bindings:
    """The column that a public set's rules read; where none of them fits a value, it is read as any label is."""
    known = public_set(sample)
    rules = sample.policy.sources[known].rules if known is not None else ()
    columns = [column for rule in rules for column in rule.when if column in sample.values]
    if not columns or bindings.get("label", ("",))[0] in columns:
        return {}
    return {"label": (columns[0],)}


def check(sample: TableSample, bindings: Bindings, kind: Kind | None) -> None:
    """Refuse what the recipe asks of a table that has not the columns for it.

    Raises:
        RecipeError: labels without a column of labels, an instruction for records with prompts, a kind without its columns.
    """
    settings = sample.settings
    if not sample.records:
        return
    if settings.labels and "label" not in bindings and "votes" not in bindings:
        problem = f"sources: {settings.match}: labels: {sample.place} has no column for label"
        raise RecipeError(problem, hint="name it under columns")
    if settings.instruction is not None and kind not in ("text", None):
        raise RecipeError(
            f"sources: {settings.match}: instruction: {sample.place} is read as {kind}, which has prompts of its own",
            hint="take the instruction out, or add 'mine: text'",
        )
    missing = [role for role in NEEDED[settings.mine] if role not in bindings] if settings.mine is not None else []
    if missing:
        raise RecipeError(
            f"sources: mine: {settings.mine}: {sample.place} has no column for {' and '.join(missing)}",
            hint=f"name them under columns (it has {', '.join(list(sample.values)[:12])})",
        )
