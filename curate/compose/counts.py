"""What a build made, in numbers: the manifest's `dataset` section, from which card, report and summary take theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from curate.compose import bias
from curate.compose.splits import SPLITS
from curate.compose.unpaired import kto_weights

Counts = dict[str, Any]


def count(
    rows: pl.DataFrame,
    fates: pl.DataFrame,
    purged: pl.DataFrame,
    pairs: pl.DataFrame,
    refused: pl.DataFrame,
    unpaired: pl.DataFrame,
    sft: pl.DataFrame,
    benign_share: float,
    strategies: Sequence[str],
) -> Counts:
    """Count the outputs.

    Args:
        rows: every row of the build, with `split`.
        fates: `id`, `why` of each row that the stages kept; null: it is in an output.
        purged: as `splits.purge` returns it.
        pairs: accepted pairs, with `strategy` and `split`.
        refused: candidates that became no pair, with `strategy` and `reason`.
        unpaired: rows of the unpaired output, with `split`, `toxic`, `benign`, `evidence`, `variety`, `words`.
        sft: rows of the sft output.
        benign_share: the share asked for.
        strategies: names of the recipe's pairers, in order.

    Returns:
        Plain values. `rows_in` = `kept` + the sum of `dropped`.
    """
    used = fates.filter(pl.col("why").is_null()).select("id")
    held_in = rows.join(used, on="id", how="semi").filter(pl.col("split") != "train").height + purged.height
    desirable, undesirable = unpaired.filter(~pl.col("toxic")), unpaired.filter("toxic")
    in_train = pl.col("split") == "train"
    return {
        "rows_in": fates.height,
        "kept": used.height,
        "dropped": _tally(fates["why"]),
        "paired": _by_split(pairs),
        "unpaired": {
            split: {"desirable": yes, "undesirable": no}
            for (split, yes), no in zip(_by_split(desirable).items(), _by_split(undesirable).values(), strict=True)
        },
        "sft": _by_split(sft),
        "splits": _tally(rows["split"]),
        "strategies": {
            name: {
                "pairs": pairs.filter(pl.col("strategy") == name).height,
                "refused": _tally(refused.filter(pl.col("strategy") == name)["reason"]),
            }
            for name in strategies
        },
        "relations": _tally(pairs["relation"]),
        "generated": _tally(rows.filter(pl.col("derived_from").is_not_null(), pl.col("given").is_null())["side"]),
        "bias": {"paired": bias.of_pairs(pairs, rows), "unpaired": bias.of_unpaired(unpaired)},
        "benign": {
            "asked": benign_share,
            "unpaired": _by_split(unpaired.filter("benign")),
            "sft": _by_split(sft.filter("benign")),
            "unpaired_train_share": _mean(unpaired.filter(in_train)["benign"]),
            "sft_train_share": _mean(sft.filter(in_train)["benign"]),
        },
        "purged": {
            "held_out": held_in,
            "share": round(purged.height / held_in, 4) if held_in else 0.0,
            **{split: _tally(purged.filter(pl.col("split") == split)["why"]) for split in ("validation", "test")},
        },
        "labels": {
            "toxic": _tally(undesirable["evidence"]),
            "non_toxic": _tally(desirable["evidence"]),
        },
        "variety": _tally(unpaired["variety"].fill_null("other")),
        "words": {
            "desirable": _mean(desirable["words"], 2),
            "undesirable": _mean(undesirable["words"], 2),
            "chosen": _mean(_words(pairs, "chosen_id", rows), 2),
            "rejected": _mean(_words(pairs, "rejected_id", rows), 2),
        },
        "pii": _tally(rows["pii"].explode(empty_as_null=True)),
        "kto": kto_weights(desirable.filter(in_train).height, undesirable.filter(in_train).height),
    }


def warnings(counts: Counts, purge_warn: float) -> list[str]:
    """What a user should know before training on this, one line each."""
    said = []
    train = counts["unpaired"]["train"]
    if not train["undesirable"] or not train["desirable"]:
        empty = "toxic" if not train["undesirable"] else "non_toxic"
        said.append(f"train holds no {empty} row: preference training needs both classes; add sources that have them")
    if not counts["paired"]["train"]:
        said.append("train holds no pair: no toxic and non_toxic completion share a prompt or a record; use the unpaired output")
    for split in ("validation", "test"):
        if not sum(counts["unpaired"][split].values()):
            said.append(f"{split} is empty: too few threads or prompts for its share; add data or raise dataset.splits.{split}")
    if counts["purged"]["share"] > purge_warn:
        said.append(
            f"{counts['purged']['share']:.0%} of the held-out rows repeat a prompt or a near copy in train and were purged "
            f"(more than {purge_warn:.0%}): the source repeats itself across threads"
        )
    asked = counts["benign"]["asked"]
    for output in ("unpaired", "sft"):
        share = counts["benign"][f"{output}_train_share"]
        if share is not None and share < asked - 0.01:
            said.append(f"benign rows are {share:.1%} of {output} train, {asked:.0%} was asked: all there are were taken")
    if counts["verdicts"]["unknown"]:
        said.append(f"verdicts: {counts['verdicts']['unknown']:,} name no row of this build")
    return said + bias.warnings(counts["bias"])


def _by_split(frame: pl.DataFrame) -> dict[str, int]:
    return {split: frame.filter(pl.col("split") == split).height for split in SPLITS}


def _tally(values: pl.Series) -> dict[str, int]:
    found = values.drop_nulls().value_counts(name="n").sort(values.name)
    return dict(found.iter_rows())


def _mean(values: pl.Series, digits: int = 4) -> float | None:
    mean = values.cast(pl.Float64).mean()
    return round(mean, digits) if isinstance(mean, float) else None


def _words(pairs: pl.DataFrame, side: str, rows: pl.DataFrame) -> pl.Series:
    return pairs.select(side).join(rows.select("id", "words"), left_on=side, right_on="id", how="left")["words"]
