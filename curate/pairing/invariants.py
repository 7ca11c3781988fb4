"""What holds for every pair of every build, checked before anything is committed."""

from __future__ import annotations

import polars as pl


class InvariantError(RuntimeError):
    """A pair that must not exist: a defect of this program, so the build stops and commits nothing."""


def check_pairs(pairs: pl.DataFrame, index: pl.DataFrame, min_margin: float) -> None:
    """Stop unless every pair is one.

    Chosen and rejected are two rows with two texts; chosen is non_toxic and rejected toxic (no abstained side) and the
    margin is what the two toxicities say and at least `min_margin`; both have one prompt and one split; the prompt is
    that of one of them; no row is chosen here and rejected there; no pair stands twice.

    Args:
        pairs: accepted pairs, as `pairing.PAIR`.
        index: the rows they name, as `pairing.INDEX`.
        min_margin: least toxicity of rejected minus toxicity of chosen.

    Raises:
        InvariantError: names the invariant and the first pair that breaks it.
    """
    sides = index.select("id", "prompt_key", "completion_key", "toxicity", "toxic", "split")
    both = pairs.join(sides.rename(lambda name: f"chosen_{name}"), on="chosen_id", how="left").join(
        sides.rename(lambda name: f"rejected_{name}"), on="rejected_id", how="left"
    )
    laws = {
        "both sides are rows of this build": pl.col("chosen_split").is_not_null() & pl.col("rejected_split").is_not_null(),
        "chosen and rejected are two texts": (pl.col("chosen_id") != pl.col("rejected_id"))
        & (pl.col("chosen_completion_key") != pl.col("rejected_completion_key")),
        "chosen is non_toxic and rejected is toxic": ~pl.col("chosen_toxic") & pl.col("rejected_toxic"),
        "the margin is the toxicity between the sides": (
            pl.col("margin") - (pl.col("rejected_toxicity") - pl.col("chosen_toxicity"))
        ).abs()
        <= 1e-6,
        f"the margin is at least {min_margin:g}": pl.col("margin") >= pl.lit(min_margin, pl.Float32),
        "both sides have one prompt": pl.col("chosen_prompt_key").eq_missing(pl.col("rejected_prompt_key")),
        "the prompt is that of a side": (pl.col("prompt_id") == pl.col("chosen_id"))
        | (pl.col("prompt_id") == pl.col("rejected_id")),
        "both sides are in one split": pl.col("chosen_split") == pl.col("rejected_split"),
        "no row is on both sides": ~pl.col("chosen_id").is_in(pairs["rejected_id"].implode()),
        "no pair stands twice": pl.struct("chosen_id", "rejected_id").is_first_distinct(),
    }
    for law, holds in laws.items():
        broken = both.filter(~holds.fill_null(value=False))
        if broken.height:
            first = broken.row(0, named=True)
            raise InvariantError(
                f"pairs: {law}: broken by {broken.height:,} of {pairs.height:,}, first chosen {first['chosen_id']}, "
                f"rejected {first['rejected_id']} ({first['strategy']}); nothing was written"
            )
