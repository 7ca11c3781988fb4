"""What a labeler's scores are worth on labelled texts: overall, and by every column the user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.labelers.study.measures import calibration_error, errors_cut, f1, interval, pr_auc, roc_auc

Floats = NDArray[np.float64]
LEAST = 10  # texts from which on a line is worth printing


def evaluate(rows: pl.DataFrame, scores: Floats, threshold: float, by: Sequence[str] = ()) -> dict[str, Any]:
    """Figures of scores against labels.

    Args:
        rows: `toxic`, `group` (resampled as a whole), and the columns of `by`.
        scores: shape (n,), NaN where the labeler abstained.
        threshold: from where on a score means toxic.
        by: columns such as category, functionality, target group: one line per value.

    Returns:
        `overall`, and for each column of `by` a table of value -> figures; `abstained` counts texts without a score.
    """
    there = ~np.isnan(scores)
    told, kept = rows.filter(pl.Series(there)), scores[there]
    page: dict[str, Any] = {"abstained": int((~there).sum()), "threshold": threshold, "overall": _figures(told, kept, threshold)}
    for column in by:
        values = told[column].cast(pl.String).fill_null("")
        page[column] = {}
        for value in sorted(values.unique()):
            mask = (values == value).to_numpy()
            if mask.sum() >= LEAST:
                page[column][value] = _part(told.filter(pl.Series(mask)), kept[mask], told, kept, threshold)
    return page


def _figures(rows: pl.DataFrame, scores: Floats, threshold: float) -> dict[str, Any]:
    toxic, groups = rows["toxic"].to_numpy(), rows["group"].to_list()
    decided = scores >= threshold

    def with_interval(measure: Callable[[Floats], float]) -> list[float]:
        return [_round(measure(np.ones(len(toxic)))), *(_round(end) for end in interval(measure, groups))]

    return {
        "texts": len(toxic),
        "toxic": int(toxic.sum()),
        "groups": len(set(groups)),
        "roc_auc": with_interval(lambda weight: roc_auc(scores, toxic, weight)),
        "pr_auc": with_interval(lambda weight: pr_auc(scores, toxic, weight)),
        "f1": with_interval(lambda weight: f1(decided, toxic, weight)),
        "calibration_error": _round(calibration_error(scores, toxic)),
        "errors_cut_by_abstaining_on_20_percent": _round(errors_cut(scores, toxic)),
    }


def _part(rows: pl.DataFrame, scores: Floats, all_rows: pl.DataFrame, all_scores: Floats, threshold: float) -> dict[str, Any]:
    """One value of a column: its own ROC-AUC where both kinds are in it, else against the other kind of all texts."""
    toxic, groups = rows["toxic"].to_numpy(), rows["group"].to_list()
    right = (scores >= threshold) == toxic

    def accuracy(weight: Floats) -> float:
        return float((weight * right).sum() / max(weight.sum(), 1e-12))

    if toxic.all() or not toxic.any():
        other = all_rows["toxic"].to_numpy() != toxic[0]
        area = roc_auc(np.concatenate([scores, all_scores[other]]), np.concatenate([toxic, all_rows["toxic"].to_numpy()[other]]))
    else:
        area = roc_auc(scores, toxic)
    ends = interval(accuracy, groups, 200)
    return {
        "texts": len(toxic),
        "toxic": int(toxic.sum()),
        "right": [_round(float(right.mean())), *(_round(end) for end in ends)],
        "roc_auc": _round(area),
    }


def lines(page: Mapping[str, Any]) -> list[str]:
    """A page as plain lines."""
    overall = page["overall"]
    said = [
        f"{overall['texts']:,} texts in {overall['groups']:,} groups, {overall['toxic']:,} toxic; "
        f"{page['abstained']} without a score"
    ]
    for name in ("roc_auc", "pr_auc", "f1"):
        middle, low, high = overall[name]
        at = f" at {page['threshold']:g}" if name == "f1" else ""
        said.append(f"{name}{at}: {middle:.3f} [{low:.3f}, {high:.3f}]")
    said.append(f"calibration error: {overall['calibration_error']:.3f}")
    cut = overall["errors_cut_by_abstaining_on_20_percent"]  # NaN where there is no error to cut
    said.append("no errors" if np.isnan(cut) else f"abstaining on the least certain 20 % cuts the error rate by {cut:.0%}")
    for column, values in page.items():
        if column in ("overall", "threshold", "abstained"):
            continue
        said.append(f"{column}: texts, toxic, share right [interval], roc_auc")
        for value, one in values.items():
            middle, low, high = one["right"]
            said.append(
                f"  {value or '-'}: {one['texts']}, {one['toxic']}, {middle:.2f} [{low:.2f}, {high:.2f}], {one['roc_auc']:.3f}"
            )
    return said


def _round(value: float) -> float:
    return round(float(value), 4)
