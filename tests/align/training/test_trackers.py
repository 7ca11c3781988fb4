"""`log.to`: what tensorboard is told is what metrics.jsonl holds; one that is not installed stops the run before it starts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives.phase import parse
from align.pipeline.recipe import read_recipe
from align.pipeline.run import run
from align.training.trackers import Log, trackers
from align.training.trainer import train
from curate.core.errors import RecipeError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "kto.yaml"


def test_tensorboard_hears_our_metrics_under_our_names(tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `tracking` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "small-0123" / "1-kto_s"
    made = parse({"kto_s": {"learning_rate": 2e-3, "batch_size": 8, "steps": 4}}, "r.yaml: phases[0]")
    followed = trackers(Log(to=("tensorboard",)), out)
    assert followed.name == "small-0123/1-kto_s"
    train(tiny_llama(), make_rows(), made, out, seed=0, log_every=2, trackers=followed)
    (events,) = (out / "tensorboard").glob("events.*")
    heard = EventAccumulator(str(events)).Reload()
    for name in ("loss", "kl", "kl_raw", "rewards/margins", "logps/chosen", "rows/s"):
        said = {event.step: event.value for event in heard.Scalars(f"train/{name}")}
        lines = {line["step"]: line[name] for line in read_metrics(out / "metrics.jsonl") if line["step"] in (2, 4)}
        assert said == pytest.approx(lines, rel=1e-5), name


def test_a_tracker_that_is_not_installed_stops_the_run_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    recipe = read_recipe(RECIPE, ["log.to=[trackio]", "data=absent/"])
    with pytest.raises(RecipeError, match="trackio is not installed; run `pip install trackio`"):
        run(recipe, tmp_path, lambda line: None)
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_nobody_knows_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"log.to"):
        read_recipe(RECIPE, ["log.to=[paper]"])
