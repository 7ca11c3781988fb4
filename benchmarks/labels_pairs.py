"""Replies that people preferred, in `bench-labels`: whether labelers hold them for less toxic than those that they rejected."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import click
import polars as pl
from labels_page import Page
from throwaway import CHEAP, Builtins

from curate.labelers.study.measures import interval
from curate.raw.mining.texts import sides

LONGEST = 300  # characters of a reply; longer ones mostly explain


def preferred(page: Page, builtins: Builtins, data: Path) -> None:
    """HH's replies, which trained nothing here: how often the rejected one scores above the chosen one, ties counting half.

    "Less harmful of two" is not "harmless": a few per cent of either are toxic, so a labeler of toxicity alone cannot be far from
    half. It is the one set beside DiaSafety whose replies were judged with their prompts in sight.
    """
    click.echo("\n# Replies that people preferred (HH, trained nothing)")
    pairs = _pairs(data / "hh_rlhf_harmless_dev/harmless_base_dev.jsonl.gz")
    prompts, replies = pairs["prompt"].to_list(), [pairs[side].to_list() for side in ("rejected", "chosen")]
    alone, asked = ([builtins.members(side, there) for side in replies] for there in (None, prompts))
    found = {f"{name} without prompt": [one[name] for one in alone] for name in (*CHEAP, "tuned")}
    found |= {f"{name} behind its prompt": [one[name] for one in asked] for name in ("reply", "tuned")}
    everyone = {"head, ngram": (alone, CHEAP), "head, ngram, tuned without prompt": (alone, (*CHEAP, "tuned"))}
    everyone["all behind their prompts"] = (asked, (*CHEAP, "reply", "tuned"))
    for said, (scores, names) in everyone.items():
        found[said] = [
            builtins.reliability.pool({name: pl.Series(one[name]) for name in names}, len(prompts)).to_numpy() for one in scores
        ]
    for said, (rejected, chosen) in found.items():
        higher = (rejected > chosen) + (rejected == chosen) / 2
        ends = interval(lambda w, higher=higher: float((w * higher).sum() / w.sum()), prompts)  # type: ignore[misc]
        page.say(f"rejected above chosen, {said}", float(higher.mean()), ends=ends)


def _pairs(path: Path) -> pl.DataFrame:
    """Last prompt, chosen and rejected reply of each conversation whose two ends answer the same."""
    rows = []
    for line in gzip.open(path, "rt", encoding="utf-8"):
        said = json.loads(line)
        found = sides(said["chosen"], said["rejected"])
        if found and found[0]:
            rows.append((found[0][-1]["content"], *found[1:]))
    pairs = pl.DataFrame(rows, schema=["prompt", "chosen", "rejected"], orient="row").unique(maintain_order=True)
    return pairs.filter(
        pl.col("prompt") != "",
        pl.col("chosen") != pl.col("rejected"),
        *(pl.col(side).str.len_chars().is_between(1, LONGEST) for side in ("chosen", "rejected")),
    )
