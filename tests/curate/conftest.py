"""Judged rows, and a small dataset folder made of them."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.compose.compose import Composed, DatasetOptions, compose
from curate.core.config import plain
from curate.core.manifest import Manifest, from_json
from curate.core.policy import load_policy
from curate.core.schema import MESSAGE, digest
from curate.core.store import write_parquet
from curate.dataset.figures import project
from curate.dataset.formats import write_dataset
from curate.dataset.licences import obligations
from curate.dataset.publish import publish
from curate.pairing import PAIRERS

Rows = Callable[..., pl.DataFrame]


def judged(*lines: dict[str, Any]) -> pl.DataFrame:
    """Judged rows from what matters in a test: `text`, `prompt`, `toxicity` (null abstains) and any column by name."""
    made = []
    for at, line in enumerate(lines):
        line = dict(line)
        prompt, toxicity = line.pop("prompt", None), line.pop("toxicity", None)
        made.append(
            {
                "id": digest("row", str(at)),
                "record": digest("record", str(at)),
                "prompt": [{"role": "user", "content": prompt}] if prompt else [],
                "completion": line.pop("text", f"reply {at}"),
                "source": "a.jsonl",
                "locator": f"line {at + 1}",
                "licence": "cc0-1.0",
                "evidence": "machine",
                "toxicity": toxicity,
                "toxic": None if toxicity is None else toxicity > 0.5,
            }
            | line
        )
    schema = {
        "prompt": pl.List(MESSAGE),
        "toxicity": pl.Float32,
        "toxic": pl.Boolean,
        **dict.fromkeys(
            ("thread", "side", "variety", "exact_cluster", "near_cluster", "semantic_cluster", "stage", "reason", "twin"),
            pl.String,
        ),
        "score": pl.Float32,
    }
    frame = pl.DataFrame(
        made, infer_schema_length=None, schema_overrides={k: v for k, v in schema.items() if any(k in m for m in made)}
    )
    return frame.with_columns(pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in frame.columns)


@pytest.fixture(scope="session")
def rows() -> Rows:
    """See `judged`."""
    return judged


STAGES: list[dict[str, Any]] = [
    {"near_duplicates": {"threshold": 0.8}},
    {"consensus": {"labelers": ["column", "head"]}},
    {"language": {"variety": "singlish"}},
]
MAP = np.random.default_rng(0).normal(size=(1_000, 4))
NEAR = ({1, 2, 4}, {5, 11})  # rows of `neighbours` that are near copies of each other: .9 alike
FARTHER = (20, 23)  # .72 alike


def neighbours(prompts: int = 60) -> pl.DataFrame:
    """A mild corpus: prompts with a rude and a calm reply or two calm ones, some near copies, some that abstain."""
    draw = random.Random(3)
    lines: list[dict[str, Any]] = []
    for at in range(prompts):
        rude = at % 3 != 0
        for reply in range(3):
            toxicity = draw.uniform(0.7, 0.99) if rude and reply == 0 else draw.uniform(0.01, 0.3)
            lines.append(
                {
                    "prompt": f"question {at}: where got good food ah?",
                    "text": f"{'you fool' if toxicity > 0.5 else 'the stall'} number {at} of {reply} lah",
                    "toxicity": toxicity,
                    "thread": f"thread {at}" if at % 2 else None,
                    "variety": "singlish" if reply else None,
                    "source": "held_out/b.jsonl" if at % 10 == 9 else "a.jsonl",
                    "score_head": toxicity,
                    "why": f"head {toxicity:.2f}",
                    "pii": ["PHONE"] if at % 20 == 0 else [],
                }
            )
    lines.append({"prompt": "unclear", "text": "maybe", "toxicity": None})
    frame = judged(*lines)
    ids = frame["id"].to_list()
    twin: dict[int, int] = {}
    for group in NEAR:  # all machine-labelled, so the smallest id is visited first and kept
        leader = min(group, key=lambda at: ids[at])
        twin |= dict.fromkeys(group - {leader}, leader)
    return frame.with_columns(
        near_cluster=pl.Series([ids[twin.get(at, at)] for at in range(len(ids))]),
        stage=pl.Series(["near_duplicates" if at in twin else None for at in range(len(ids))], dtype=pl.String),
        reason=pl.Series(["near_duplicate" if at in twin else None for at in range(len(ids))], dtype=pl.String),
        score=pl.Series([0.9 if at in twin else None for at in range(len(ids))], dtype=pl.Float32),
        twin=pl.Series([ids[twin[at]] if at in twin else None for at in range(len(ids))], dtype=pl.String),
    )


def manifest_of(
    frame: pl.DataFrame, composed: Composed, dataset: DatasetOptions, stages: Sequence[Any] = STAGES
) -> dict[str, Any]:
    """The manifest that a build of these rows would write, but for its files."""
    entered = frame.height
    dropped = Counter(frame["reason"].drop_nulls())
    licences = Counter(frame["licence"])
    records = frame["record"].n_unique()
    return {
        "format": 1,
        "name": "neighbours",
        "inputs": digest("inputs"),
        "recipe": {
            "name": "neighbours",
            "seed": 0,
            "stages": list(stages),
            "dataset": plain(dataset),
        },
        "policy": load_policy().hash,
        "versions": {"margins": "0.1.0"},
        "records": {"read": records + 3, "mined": records, "skipped": {}, "quarantined": 3, "rows": entered},
        "sources": [
            {"source": name, "sha256": digest(name), "records": size + broken, "mined": size, "rows": size, "skipped": {}}
            | {"quarantined": {"not_json": broken}}
            for broken, (name, size) in enumerate(sorted(Counter(frame["source"]).items()), 1)
        ],
        "left_aside": [],
        "stages": [
            {"stage": "near_duplicates", "rows_in": entered, "kept": entered - dropped.total(), "dropped": dict(dropped)},
        ],
        "models": {"head": [digest("weights")]},
        "dataset": plain(composed.counts),
        "warnings": composed.warnings,
        "licences": dict(licences),
        "obligations": plain(obligations(licences)),
    }


def write_folder(frame: pl.DataFrame, folder: Path, stages: Sequence[Any] = STAGES) -> Manifest:
    """Write a dataset folder as a build would; returns its manifest."""
    dataset = DatasetOptions()
    composed = compose(frame, dataset, [PAIRERS[name]() for name in ("given", "same_prompt")], seed=0)
    files = write_dataset(composed, folder)
    manifest = manifest_of(frame, composed, dataset, stages)
    ids = frame["id"].to_list()
    near = [(*sorted((ids[a], ids[b])), 0.9) for group in NEAR for a, b in itertools.combinations(sorted(group), 2)]
    near.append((*sorted(ids[at] for at in FARTHER), 0.72))
    edges = pl.DataFrame(near, schema={"a": pl.String, "b": pl.String, "score": pl.Float32}, orient="row")
    write_parquet(folder / "similarity/near_duplicates.parquet", edges)
    files["similarity/near_duplicates.parquet"] = edges.height
    return publish(folder, from_json(manifest), files, project(frame["id"], MAP[: frame.height]))


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset folder; tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("neighbours")
    write_folder(neighbours(), folder)
    return folder


@pytest.fixture(scope="session")
def manifest(dataset_folder: Path) -> dict[str, Any]:
    """Its manifest."""
    return dict(json.loads((dataset_folder / "manifest.json").read_text("utf-8")))
