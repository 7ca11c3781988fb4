"""Finished runs and grids in Python: their figures, steps and completions as polars frames, read from their folders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from align.data.run_folder import read_results
from align.report.results import checkpoint_table, summary
from curate.core.config import file_word
from curate.core.errors import DataError
from curate.pages.tables import table_lines

SHARE = {"hits", "n", "low", "high"}
FIGURES = {
    "checkpoint": pl.String,
    "suite": pl.String,
    "figure": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
}
"""Columns of `Run.checkpoints`."""
OUTCOME = "outcome.json"


class Run:
    """A finished run: what `align.run` and `align.evaluate` give, and `align.open` finds again.

    Frames are read when they are first asked for, and kept.

    Attributes:
        folder: where it lies.
        report: its page, for a browser.

    Example:
        >>> run = align.open(run.folder)
        >>> run
        runs/tiny-...: tiny, seed 0
                           toxic % (lexicon)   n  neutral ppl  clean ppl     KL to base  ended %  distinct
        base               ...
        after sft          ...
        after sft + kto_s  ...
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.report = folder, folder / "report.html"
        self._place = folder.absolute()  # a notebook may change its working folder before a frame is read
        self._facts = read_results(folder)

    @cached_property
    def results(self) -> dict[str, Any]:
        """What `results.json` says: every figure, the judge's validity, versions, the run's key.

        Example:
            >>> run.results["name"], run.results["judge"]["name"]
            ('tiny', 'lexicon')
        """
        tree: dict[str, Any] = json.loads((self._place / "results.json").read_bytes())
        return tree

    @cached_property
    def table(self) -> pl.DataFrame:
        """One line per checkpoint with the figures of the run's own table, as numbers; null where a figure was not measured.

        `toxic`, `toxic_low`, `toxic_high` (share of the held-out completions that the judge calls toxic, and its interval), `n`
        completions, `truth`, `neutral_perplexity`, `clean_perplexity`, `kl` to the base in nats per token, `ended`, `distinct`.

        Example:
            >>> run.table["checkpoint"].to_list()
            ['base', 'after sft', 'after sft + kto_s']
        """
        return pl.DataFrame([_line(one) for one in self.results["checkpoints"]], schema=TABLE)

    @cached_property
    def checkpoints(self) -> pl.DataFrame:
        """Every figure of every suite: `checkpoint`, `suite`, `figure`, `value`, and `low`, `high`, `n` where it is a share.

        Example:
            >>> run.checkpoints.filter(pl.col("figure") == "refused").select("checkpoint", "suite", "n").rows()[0]
            ('base', 'heldout', 27)
        """
        rows = (
            (one["name"], suite, figure, *numbers)
            for one in self.results["checkpoints"]
            for suite, figures in one.items()
            if isinstance(figures, Mapping)
            for figure, *numbers in _figures(figures)
        )
        return pl.DataFrame(list(rows), schema=FIGURES, orient="row")

    @cached_property
    def metrics(self) -> pl.DataFrame:
        """One line per optimizer step of each phase: `phase`, `step`, `loss`, `lr`, rewards, KL; empty where nothing was trained.

        Example:
            >>> run.metrics.group_by("phase").len().sort("phase").rows()
            [('1-sft', 5), ('2-kto_s', 10)]
        """
        names = [phase["folder"] for phase in self.results["phases"]]
        rows = [{"phase": name} | line for name in names for line in _read(self._place / name / "metrics.jsonl")]
        return pl.DataFrame(rows, schema=None if rows else {"phase": pl.String, "step": pl.Int64}, infer_schema_length=None)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """One line per completion or row of each suite and checkpoint, with every judge's score; texts may be toxic.

        Example:
            >>> run.samples.columns[:4]
            ['checkpoint', 'suite', 'id', 'sample']
        """
        places = ["base", *(phase["folder"] for phase in self.results["phases"])]
        rows = []
        for place, one in zip(places, self.results["checkpoints"], strict=True):
            for suite in (name for name in one if name != "name"):
                items = _read(self._place / place / f"{file_word(suite)}.jsonl")
                rows += [{"checkpoint": one["name"], "suite": suite} | _flat(item) for item in items]
        return pl.DataFrame(rows, infer_schema_length=None)

    def summary(self) -> str:
        """The run on one screen: its tables, and what is to be known beside them; no text of any completion.

        Returns:
            What `align run` prints at its end.

        Example:
            >>> print(run.summary())
            tiny, seed 0: builtin:tiny on small (...)
            ...
            judge lexicon: TPR 100.0%, FPR 0.0% [0.0%, 12.5%], AUC 1.000 on 54 held-out gold rows (27 toxic): valid here
            ...
        """
        return summary(self._facts)

    def __repr__(self) -> str:
        head = f"{self.folder}: {self.results['name']}, seed {self.results['seed']}"
        return "\n".join([head, *table_lines(*checkpoint_table(self._facts))])


class Grid:
    """A finished grid: what `align.ablate` gives.

    Attributes:
        folder: where it lies.
        report: its page, for a browser.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.report = folder, folder / "report.html"
        self._place = folder.absolute()  # a notebook may change its working folder before a frame is read
        if not (folder / OUTCOME).is_file():
            raise DataError(f"{folder}: found no {OUTCOME}, so no finished grid", hint="run its recipe, the same call goes on")

    @cached_property
    def outcome(self) -> dict[str, Any]:
        """What `outcome.json` says: every curve, contrast, rate and caveat."""
        tree: dict[str, Any] = json.loads((self._place / OUTCOME).read_bytes())
        return tree

    @cached_property
    def table(self) -> pl.DataFrame:
        """One line per method and size: `method`, `size`, `toxic` (mean over seeds) with `low`, `high`, and the rest."""
        methods = self.outcome["views"]["best"]["methods"]
        points = [{"method": method} | point for method in self.outcome["methods"] for point in methods[method]["points"]]
        rows = [{name: value for name, value in point.items() if not isinstance(value, (dict, list))} for point in points]
        first = dict.fromkeys(POINT)
        return pl.DataFrame([first | row for row in rows], schema=None if rows else POINT, infer_schema_length=None)

    @cached_property
    def contrasts(self) -> pl.DataFrame:
        """The primary comparisons: `a`, `b`, `value` (difference of the areas under the curves), `low`, `high`, `p`, `p_holm`."""
        names = ("a", "b", "value", "low", "high", "p", "p_holm")
        rows = [tuple(row[name] for name in names) for row in self.outcome["contrasts"]]
        return pl.DataFrame(rows, schema=CONTRASTS, orient="row")

    def __repr__(self) -> str:
        done = f"{len(self.outcome['methods'])} methods, {len(self.outcome['sizes'])} sizes, {len(self.outcome['seeds'])} seeds"
        return f"{self.folder}: {done}; {len(self.outcome['missing'])} cells missing, {len(self.outcome['failures'])} failed"


POINT = {"method": pl.String, "size": pl.Int64} | dict.fromkeys(("toxic", "low", "high"), pl.Float64)
TABLE = {
    "checkpoint": pl.String,
    "toxic": pl.Float64,
    "toxic_low": pl.Float64,
    "toxic_high": pl.Float64,
    "n": pl.Int64,
    "truth": pl.Float64,
    "neutral_perplexity": pl.Float64,
    "clean_perplexity": pl.Float64,
    "kl": pl.Float64,
    "ended": pl.Float64,
    "distinct": pl.Int64,
}
CONTRASTS = {"a": pl.String, "b": pl.String} | dict.fromkeys(("value", "low", "high", "p", "p_holm"), pl.Float64)


def _line(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    heldout, retention = checkpoint.get("heldout", {}), checkpoint.get("retention", {})
    toxic = heldout.get("toxic") or {}
    return {
        "checkpoint": checkpoint["name"],
        "toxic": _value(toxic),
        "toxic_low": toxic.get("low"),
        "toxic_high": toxic.get("high"),
        "n": heldout.get("n"),
        "truth": _value(heldout.get("truth") or {}),
        "neutral_perplexity": retention.get("neutral", {}).get("perplexity"),
        "clean_perplexity": retention.get("clean", {}).get("perplexity"),
        "kl": (heldout.get("kl") or {}).get("value"),
        "ended": heldout.get("ended"),
        "distinct": heldout.get("distinct"),
    }


def _value(share: Mapping[str, Any]) -> float | None:
    return share["hits"] / share["n"] if share.get("n") else None


Figure = tuple[str, float | None, float | None, float | None, int | None]


def _figures(values: Mapping[str, Any], before: str = "") -> Iterator[Figure]:
    """Name, value, low, high, n of every number in a tree; a name is its path with dots."""
    for name, value in values.items():
        path = f"{before}.{name}" if before else name
        if isinstance(value, Mapping) and set(value) >= SHARE:
            yield path, _value(value), value["low"], value["high"], value["n"]
        elif isinstance(value, Mapping):
            yield from _figures(value, path)
        elif isinstance(value, (int, float)):
            yield path, float(value), None, None, None


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; none where a suite keeps no items."""
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line] if path.is_file() else []


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """A judge's score and verdict beside the rest: `judge_score`, `judge_toxic`."""
    flat: dict[str, Any] = {}
    for name, value in item.items():
        flat |= {f"{name}_{part}": one for part, one in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat
