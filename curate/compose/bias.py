"""What else tells the two sides apart: a model must not learn "short is safe" or "Standard English is safe"."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from curate.core.manifest.counts import Bias, PairedBias, UnpairedBias

LENGTH_AUC = 0.65  # from which length alone says too much: two in three times the shorter side is the right one
SHARE_GAP = 0.1  # between the sides, in refusals or in a variety, from which it is worth a word


def of_pairs(pairs: pl.DataFrame, rows: pl.DataFrame) -> dict[str, PairedBias]:
    """Length, refusals and varieties of chosen against rejected, in train, by strategy and over "all".

    Args:
        pairs: accepted pairs with `strategy`, `relation`, `split`.
        rows: `id`, `chars`, `refusal`, `variety`.
    """
    facts = rows.select("id", "chars", "refusal", "variety")
    wide = pairs.filter(pl.col("split") == "train")
    for side in ("chosen", "rejected"):
        wide = wide.join(facts.rename(lambda name, side=side: f"{side}_{name}"), on=f"{side}_id", how="left")  # type: ignore[misc]
    whole = {"all": _sides(wide)} if wide.height else {}
    return whole | {
        str(name): _sides(some) for (name,), some in sorted(wide.group_by("strategy"), key=lambda group: str(group[0]))
    }


def of_unpaired(rows: pl.DataFrame) -> UnpairedBias | None:
    """The same of desirable against undesirable rows of train; None where one of both is missing.

    Args:
        rows: of the unpaired output: `split`, `toxic`, `chars`, `refusal`, `variety`.
    """
    train = rows.filter(pl.col("split") == "train")
    good, bad = train.filter(~pl.col("toxic")), train.filter("toxic")
    if not good.height or not bad.height:
        return None
    ranks = train.with_columns(rank=pl.col("chars").rank("average")).filter(~pl.col("toxic"))["rank"].cast(pl.Float64).sum()
    longer = (float(ranks) - good.height * (good.height + 1) / 2) / (good.height * bad.height)
    return UnpairedBias(
        median_length_ratio=_round(_median(good["chars"]) / max(_median(bad["chars"]), 1.0)),
        shorter_is_desirable_auc=_round(1 - longer),
        refusal_share={"desirable": _mean(good["refusal"]), "undesirable": _mean(bad["refusal"])},
        variety_share={"desirable": _varieties(good["variety"]), "undesirable": _varieties(bad["variety"])},
    )


def warnings(bias: Bias) -> list[str]:
    """What a model could learn instead of the difference that is meant, one line each."""
    lines: list[str] = []
    if (paired := bias.paired.get("all")) is not None:
        lines += _gaps("paired train", ("chosen", "rejected"), paired.shorter_is_chosen_auc, paired)
    if (unpaired := bias.unpaired) is not None:
        lines += _gaps("unpaired train", ("desirable", "undesirable"), unpaired.shorter_is_desirable_auc, unpaired)
    return lines


def _gaps(where: str, sides: tuple[str, str], auc: float, bias: PairedBias | UnpairedBias) -> Iterator[str]:
    good, bad = sides
    if max(auc, 1 - auc) >= LENGTH_AUC:
        which = "shorter" if auc > 0.5 else "longer"
        yield f"{where}: the {which} side is {good} with AUC {max(auc, 1 - auc):.2f}: length could be learnt for tone"
    first, second = (bias.refusal_share[side] for side in sides)
    if first - second >= SHARE_GAP:
        yield f"{where}: {first:.0%} of {good} completions are refusals, {second:.0%} of {bad} ones"
    for name in sorted({*bias.variety_share[good], *bias.variety_share[bad]} - {"other"}):
        one, two = (bias.variety_share[side].get(name, 0.0) for side in sides)
        if abs(one - two) >= SHARE_GAP:
            yield f"{where}: {one:.0%} of {good} and {two:.0%} of {bad} completions are {name}"


def _sides(pairs: pl.DataFrame) -> PairedBias:
    """`shorter_is_chosen_auc` counts a tie half: the chance that length alone, within a pair, points to the chosen side."""
    ratio = pairs.select(pl.col("chosen_chars") / pl.col("rejected_chars").clip(lower_bound=1)).to_series()
    shorter = pairs.select(
        pl.when(pl.col("chosen_chars") < pl.col("rejected_chars"))
        .then(1.0)
        .when(pl.col("chosen_chars") == pl.col("rejected_chars"))
        .then(0.5)
        .otherwise(0.0)
    ).to_series()
    return PairedBias(
        pairs=pairs.height,
        median_length_ratio=_round(_median(ratio)),
        shorter_is_chosen_auc=_mean(shorter),
        refusal_share={side: _mean(pairs[f"{side}_refusal"]) for side in ("chosen", "rejected")},
        variety_share={side: _varieties(pairs[f"{side}_variety"]) for side in ("chosen", "rejected")},
    )


def _varieties(values: pl.Series) -> dict[str, float]:
    counts = values.fill_null("other").value_counts(name="n").sort(values.name)
    return {str(name): _round(size / len(values)) for name, size in counts.iter_rows()}


def _mean(values: pl.Series) -> float:
    mean = values.cast(pl.Float64).mean()
    return _round(float(mean)) if isinstance(mean, (int, float)) else 0.0


def _median(values: pl.Series) -> float:
    median = values.cast(pl.Float64).median()
    return float(median) if isinstance(median, (int, float)) else 0.0


def _round(value: float) -> float:
    return round(value, 4)
