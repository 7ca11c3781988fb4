"""What holds for every pair of every build, checked before anything is committed."""

from __future__ import annotations

import polars as pl

from curate.core.errors import DataError
from curate.pairing.pairer import PREFERRED, RELATIONS, TOXICITY, Limits


class InvariantError(RuntimeError):
    """A pair that must not exist: a defect of this program, so the build stops and commits nothing."""


def check_pairs(pairs: pl.DataFrame, index: pl.DataFrame, limits: Limits, refusal_share: float = 1.0) -> None:
    """Stop unless every pair is one.

    Chosen and rejected are two rows with two texts and lengths within the limits; chosen is non_toxic; rejected is toxic (no
    abstained side) and the margin is what the two toxicities say and at least `min_margin`, but for pairs that are only
    preferred, where rejected is non_toxic too; both have one split, and one prompt unless the pairer is one that lends the
    toxic side's prompt to its neighbour; the prompt is that of one of them; no row is chosen here and rejected there; no pair
    stands twice; refusals do not dominate the chosen sides of a split.

    Args:
        pairs: accepted pairs, as `pairing.PAIR`.
        index: the rows they name, as `pairing.INDEX`, without stand-ins.
        limits: of margin and length.
        refusal_share: most refusals among the chosen sides of a split, in [0, 1].

    Raises:
        InvariantError: names the invariant and the first pair that breaks it.
        DataError: the same, where a user's own pairer proposed that pair.
    """
    sides = index.select("id", "prompt_key", "completion_key", "toxicity", "toxic", "split", "chars", "refusal")
    both = pairs.join(sides.rename(lambda name: f"chosen_{name}"), on="chosen_id", how="left").join(
        sides.rename(lambda name: f"rejected_{name}"), on="rejected_id", how="left"
    )
    preferred, lent = pl.col("relation") == PREFERRED, pl.col("strategy") == "nearest_neighbour"
    laws = {
        "both sides are rows of this build": pl.col("chosen_split").is_not_null() & pl.col("rejected_split").is_not_null(),
        "chosen and rejected are two texts": (pl.col("chosen_id") != pl.col("rejected_id"))
        & (pl.col("chosen_completion_key") != pl.col("rejected_completion_key")),
        "the relation is one that there is": pl.col("relation").is_in(RELATIONS),
        "only given pairs are merely preferred": (pl.col("relation") == TOXICITY) | (pl.col("strategy") == "given"),
        "chosen is non_toxic and rejected is toxic": ~pl.col("chosen_toxic")
        & pl.when(preferred).then(~pl.col("rejected_toxic")).otherwise("rejected_toxic"),
        "the margin is the toxicity between the sides": (
            pl.col("margin") - (pl.col("rejected_toxicity") - pl.col("chosen_toxicity"))
        ).abs()
        <= 1e-6,
        f"the margin is at least {limits.min_margin:g}": preferred | (pl.col("margin") >= pl.lit(limits.min_margin, pl.Float32)),
        f"no side is more than {limits.max_length_ratio:g} times as long as the other": limits.length().is_null(),
        "both sides have one prompt": lent | pl.col("chosen_prompt_key").eq_missing(pl.col("rejected_prompt_key")),
        "the prompt is that of a side": (pl.col("prompt_id") == pl.col("rejected_id"))
        | ((pl.col("prompt_id") == pl.col("chosen_id")) & ~lent),
        "both sides are in one split": pl.col("chosen_split") == pl.col("rejected_split"),
        "no row is on both sides": ~pl.col("chosen_id").is_in(pairs["rejected_id"].implode()),
        "no pair stands twice": pl.struct("chosen_id", "rejected_id").is_first_distinct(),
        f"at most {refusal_share:g} of the chosen sides of a split refuse": pl.col("chosen_refusal").mean().over("chosen_split")
        <= refusal_share + 1e-9,
    }
    for law, holds in laws.items():
        broken = both.filter(~holds.fill_null(value=False))
        if broken.height:
            first = broken.row(0, named=True)
            problem = (
                f"pairs: {law}: broken by {broken.height:,} of {pairs.height:,}, first chosen {first['chosen_id']}, "
                f"rejected {first['rejected_id']} ({first['strategy']}); nothing was written"
            )
            if ":" in first["strategy"]:  # a user's own pairer, which the user can mend
                raise DataError(problem, hint="mend the pairer; docs/extending.md says what every pair keeps to")
            raise InvariantError(problem)
