"""What a build made, in numbers: the manifest's `dataset` section, from which card, report and summary take theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from curate.compose import bias
from curate.compose.splits import SPLITS
from curate.compose.unpaired import kto_weights
from curate.core.manifest.counts import (
    BenignCounts,
    Bias,
    DatasetCounts,
    OverlapCounts,
    PurgeCounts,
    StrategyCounts,
    Tally,
    VerdictCounts,
)

PURGE_SHARE = 0.2  # of the held-out rows, above which their purge is worth a warning

LEFT_OUT_SHARE = 0.5  # of the desirable train rows, above which leaving benign ones out of unpaired is worth a warning


@dataclass(frozen=True)
class Decisions:
    """What composing decided of every row, before the outputs take their shape.

    Attributes:
        rows: every row of the build, with `split`.
        fates: `id`, `why` of each row that the stages kept; null: it is in an output.
        purged: as `splits.purge` returns it.
        pairs: accepted pairs, with `strategy` and `split`.
        refused: candidates that became no pair, with `strategy` and `reason`.
        unpaired: rows of the unpaired output, with `split`, `toxic`, `benign`, `evidence`, `variety`, `words`.
        sft: rows of the sft output.
        left_out: "unpaired" and "sft" -> benign rows that train has no room for.
    """

    rows: pl.DataFrame
    fates: pl.DataFrame
    purged: pl.DataFrame
    pairs: pl.DataFrame
    refused: pl.DataFrame
    unpaired: pl.DataFrame
    sft: pl.DataFrame
    left_out: Mapping[str, int]


def count(
    decisions: Decisions,
    benign_share: Mapping[str, float],
    strategies: Sequence[str],
    verdicts: VerdictCounts,
    contamination: Mapping[str, OverlapCounts],
) -> DatasetCounts:
    """Count the outputs.

    Args:
        decisions: what goes where.
        benign_share: "unpaired" and "sft" -> the most asked for.
        strategies: names of the recipe's pairers, in order.
        verdicts: what people said of single rows.
        contamination: overlap by evaluation set.
    """
    rows, pairs, unpaired, sft = decisions.rows, decisions.pairs, decisions.unpaired, decisions.sft
    used = decisions.fates.filter(pl.col("why").is_null()).select("id")
    desirable, undesirable = unpaired.filter(~pl.col("toxic")), unpaired.filter("toxic")
    sides = zip(_by_split(desirable).items(), _by_split(undesirable).values(), strict=True)
    in_train = pl.col("split") == "train"
    return DatasetCounts(
        rows_in=decisions.fates.height,
        kept=used.height,
        dropped=_tally(decisions.fates["why"]),
        paired=_by_split(pairs),
        unpaired={split: {"desirable": yes, "undesirable": no} for (split, yes), no in sides},
        sft=_by_split(sft),
        splits=_tally(rows["split"]),
        strategies={name: _strategy(name, pairs, decisions.refused) for name in strategies},
        relations=_tally(pairs["relation"]),
        generated=_tally(rows.filter(pl.col("derived_from").is_not_null(), pl.col("given").is_null())["side"]),
        bias=Bias(bias.of_pairs(pairs, rows), bias.of_unpaired(unpaired)),
        benign=BenignCounts(
            asked=benign_share["unpaired"],
            sft_asked=benign_share["sft"],
            unpaired=_by_split(unpaired.filter("benign")),
            sft=_by_split(sft.filter("benign")),
            unpaired_train_share=_mean(unpaired.filter(in_train)["benign"]),
            sft_train_share=_mean(sft.filter(in_train)["benign"]),
            unpaired_left_out=decisions.left_out["unpaired"],
            sft_left_out=decisions.left_out["sft"],
        ),
        purged=_purges(decisions.purged, rows.join(used, on="id", how="semi")),
        labels={"toxic": _tally(undesirable["evidence"]), "non_toxic": _tally(desirable["evidence"])},
        variety=_tally(unpaired["variety"].fill_null("other")),
        words={
            "desirable": _mean(desirable["words"], 2),
            "undesirable": _mean(undesirable["words"], 2),
            "chosen": _mean(_words(pairs, "chosen_id", rows), 2),
            "rejected": _mean(_words(pairs, "rejected_id", rows), 2),
        },
        pii=_tally(rows["pii"].explode(empty_as_null=True)),
        kto=kto_weights(desirable.filter(in_train).height, undesirable.filter(in_train).height),
        verdicts=verdicts,
        contamination=dict(contamination),
    )


def _strategy(name: str, pairs: pl.DataFrame, refused: pl.DataFrame) -> StrategyCounts:
    own = pl.col("strategy") == name
    return StrategyCounts(pairs=pairs.filter(own).height, refused=_tally(refused.filter(own)["reason"]))


def _purges(purged: pl.DataFrame, kept: pl.DataFrame) -> PurgeCounts:
    """Of the held-out rows that would have been in the outputs."""
    held_out = kept.filter(pl.col("split") != "train").height + purged.height
    reasons = {split: _tally(purged.filter(pl.col("split") == split)["why"]) for split in ("validation", "test")}
    return PurgeCounts(held_out=held_out, share=round(purged.height / held_out, 4) if held_out else 0.0, **reasons)


def warnings(counts: DatasetCounts) -> list[str]:
    """What a user should know before training on this, one line each."""
    lines = []
    train = counts.unpaired["train"]
    if not train["undesirable"] or not train["desirable"]:
        empty = "toxic" if not train["undesirable"] else "non_toxic"
        lines.append(f"train holds no {empty} row: preference training needs both classes; add sources that have them")
    if not counts.paired["train"]:
        lines.append("train holds no pair: no toxic and non_toxic completion share a prompt or a record; use the unpaired output")
    for split in ("validation", "test"):
        if not sum(counts.unpaired[split].values()):
            lines.append(f"{split} is empty: too few threads or prompts for its share; add data or raise dataset.splits.{split}")
    if counts.purged.share > PURGE_SHARE:
        lines.append(
            f"{counts.purged.share:.0%} of the held-out rows repeat a prompt or a near copy in train and were purged "
            f"(more than {PURGE_SHARE:.0%}): the source repeats itself across threads"
        )
    lines += _benign_lines(counts)
    if counts.verdicts.unknown:
        lines.append(f"verdicts: {counts.verdicts.unknown:,} name no row of this build")
    return lines + bias.warnings(counts.bias)


def _benign_lines(counts: DatasetCounts) -> Iterator[str]:
    """Of the unpaired rows: too few benign ones, or many of them left out; of the sft rows: that any were left out."""
    benign, train = counts.benign, counts.unpaired["train"]
    share, left_out = benign.unpaired_train_share, benign.unpaired_left_out
    if share is not None and not left_out and share < benign.asked - 0.01:
        yield f"benign rows are {share:.1%} of unpaired train, {benign.asked:.0%} was asked: all there are were taken"
    if left_out > LEFT_OUT_SHARE * (left_out + train["desirable"]):
        yield (
            f"{left_out:,} of {left_out + train['desirable']:,} desirable rows are not in unpaired train: nothing said in reply "
            "to their prompts is toxic, and they would outnumber the toxic ones; dataset.benign_share: 1 takes them all"
        )
    if benign.sft_left_out:
        desirable = benign.sft_left_out + counts.sft["train"]
        yield (
            f"{benign.sft_left_out:,} of {desirable:,} desirable rows are not in sft train: at most {benign.sft_asked:.0%} of "
            "it may be benign; dataset.sft_benign_share: 1 takes them all"
        )


def _by_split(frame: pl.DataFrame) -> Tally:
    return {split: frame.filter(pl.col("split") == split).height for split in SPLITS}


def _tally(values: pl.Series) -> Tally:
    counts = values.drop_nulls().value_counts(name="n").sort(values.name)
    return dict(counts.iter_rows())


def _mean(values: pl.Series, digits: int = 4) -> float | None:
    mean = values.cast(pl.Float64).mean()
    return round(mean, digits) if isinstance(mean, float) else None


def _words(pairs: pl.DataFrame, side: str, rows: pl.DataFrame) -> pl.Series:
    return pairs.select(side).join(rows.select("id", "words"), left_on=side, right_on="id", how="left")["words"]
