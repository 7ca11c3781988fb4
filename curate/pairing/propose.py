"""Ask the pairers in turn, keep what every pair must keep to, and say of each other candidate why it is no pair."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from curate.core.config import own_name
from curate.core.contracts import own_code
from curate.core.schema import digest
from curate.pairing.invariants import check_pairs
from curate.pairing.pairer import PAIR, Context, Pairer


def propose(
    index: pl.DataFrame, pairers: Sequence[Pairer], context: Context, refusal_share: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All pairs, and all refused candidates.

    A pair that two pairers propose is the first one's (`proposed_before`), a row that is chosen in one pair is rejected in
    none (`other_side`), and where more than `refusal_share` of a split's chosen sides are refusals, the last ones by id go
    (`refusal_share`).

    Args:
        index: as `pairing.INDEX`, stand-ins included.
        pairers: in order of preference.
        context: what they share.
        refusal_share: in [0, 1].

    Returns:
        Pairs (`PAIR` without `reason`, and `id`, `split`) and refused candidates (`PAIR`), both in a stable order.

    Raises:
        InvariantError: a pair that must not exist.
    """
    rows = index.filter(pl.col("stands_for").is_null())
    pairs = pl.DataFrame(schema={**PAIR, "id": pl.String, "split": pl.String, "refusal": pl.Boolean})
    refused = [pl.DataFrame(schema=PAIR)]
    for pairer in pairers:
        paired = pl.col("id").is_in(pl.concat([pairs["chosen_id"], pairs["rejected_id"]]).implode())
        with own_code(name := own_name(pairer)):
            answer = pairer.pair(index.with_columns(paired=paired), context)
        if name is not None:  # so that its pairs are counted under the recipe's word
            answer = answer.with_columns(strategy=pl.lit(name))
        fresh = answer.filter(pl.col("reason").is_null()).with_columns(reason=_clash(pairs))
        new = fresh.filter(pl.col("reason").is_null())
        again = ~pl.struct("chosen_id", "rejected_id").is_first_distinct()
        turned = pl.col("chosen_id").is_in(new["rejected_id"].implode())
        new = new.with_columns(reason=pl.when(again).then(pl.lit("proposed_before")).when(turned).then(pl.lit("other_side")))
        refused += [answer.filter(pl.col("reason").is_not_null())]
        refused += [frame.filter(pl.col("reason").is_not_null()) for frame in (fresh, new)]
        pairs = pl.concat([pairs, _named(new.filter(pl.col("reason").is_null()), rows)])
    stays = within_share(pairs, refusal_share)
    dominating = pairs.filter(~stays).select(PAIR.keys()).with_columns(reason=pl.lit("refusal_share"))
    accepted = pairs.filter(stays).drop("reason", "refusal").sort("id")
    check_pairs(accepted, rows, context.limits, refusal_share)
    return accepted, pl.concat([*refused, dominating]).sort("strategy", "reason", "rejected_id", "chosen_id")


def _clash(pairs: pl.DataFrame) -> pl.Expr:
    """Why a new candidate cannot stand beside the pairs that there are."""
    known = pl.struct("chosen_id", "rejected_id").is_in(pairs.select(pl.struct("chosen_id", "rejected_id")).to_series().implode())
    turned = pl.col("chosen_id").is_in(pairs["rejected_id"].implode()) | pl.col("rejected_id").is_in(pairs["chosen_id"].implode())
    return pl.when(known).then(pl.lit("proposed_before")).when(turned).then(pl.lit("other_side"))


def _named(pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """With an id of their own, their split, and whether the chosen side refuses."""
    ids = [digest("pair", chosen, rejected) for chosen, rejected in pairs.select("chosen_id", "rejected_id").iter_rows()]
    facts = rows.select("id", "split", "refusal")
    wide = pairs.join(facts, left_on="chosen_id", right_on="id", how="left", maintain_order="left")
    return wide.select(*PAIR, pl.Series("id", ids, dtype=pl.String), "split", "refusal")


def within_share(pairs: pl.DataFrame, share: float) -> pl.Series:
    """Which pairs stay so that in each split at most `share` of the chosen sides are refusals: all others, then by order of id.

    Args:
        pairs: `id`, `split`, `refusal` (of the chosen side).
        share: in [0, 1].

    Returns:
        Boolean, one per pair, same order.
    """
    if share >= 1:
        return pl.repeat(value=True, n=pairs.height, eager=True, dtype=pl.Boolean)
    others = (~pl.col("refusal")).sum().over("split")
    room = (others * share / (1 - share) + 1e-9).floor()
    place = pl.col("id").rank("ordinal").over("split", "refusal")
    return pairs.select(~pl.col("refusal") | (place <= room)).to_series()
