"""The weights that ship: small, whole, what the card says, and trained on what may be shared."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from curate.core.errors import StorageError
from curate.core.policy import load_policy
from curate.labelers.builtin.head import Head
from curate.labelers.builtin.ngram import Ngram
from curate.labelers.builtin.reply import Reply
from curate.labelers.builtin.shipped import SUMS, WEIGHTS, ShippedWeights, load_shipped
from curate.labelers.builtin.tuned import Tuned
from curate.text.encoders import BUILTIN_SHA256

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
FREE = {"MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0"}


def _script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module(name)


JUDGES = ("head", "ngram", "tuned")  # judge any text; `reply` judges answers
LEARNT = {"head": "head", "ngram": "ngram", "reply": "head", "tuned": "head"}  # the part that each learned from


def _all() -> dict[str, ShippedWeights]:
    kinds = {"head": Head, "ngram": Ngram, "reply": Reply, "tuned": Tuned}
    return {name: load_shipped(name, kind.VERSION) for name, kind in kinds.items()}


def test_all_weights_together_stay_below_four_megabytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 4_000_000


def test_weights_follow_the_policy_in_force_and_the_encoder_that_ships() -> None:
    for trained in _all().values():
        assert trained.facts["policy"] == load_policy().hash
    assert all(0.5 <= _all()[name].threshold < 1.0 for name in JUDGES)
    assert {_all()[name].facts["encoder"] for name in ("head", "reply", "tuned")} == {BUILTIN_SHA256}


def test_every_training_set_has_a_licence_that_lets_weights_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = _script("training_data", monkeypatch).SETS
    for name, trained in _all().items():
        for trained_on in trained.trained_on:
            one, part = trained_on.split(":")
            assert part == LEARNT[name] and sets[one].licence in FREE


def test_every_number_of_the_card_is_the_metadatas(monkeypatch: pytest.MonkeyPatch) -> None:
    render = _script("model_card", monkeypatch).render
    assert (WEIGHTS / "README.md").read_text(encoding="utf-8") == render(
        {name: trained.facts for name, trained in _all().items()}
    )


def test_what_the_card_must_hold_holds() -> None:
    for trained in (_all()[name] for name in JUDGES):
        figures = trained.facts["figures"]
        assert figures["sets"]["davidson"]["roc_auc"] >= 0.93
        assert all(one["flagged"] <= 0.05 for one in figures["plain_flagged"].values())
    assert all(_all()[name].facts["figures"]["particle_flips"] <= 0.01 for name in ("ngram", "tuned"))
    assert min(one["roc_auc"] for one in _all()["reply"].facts["figures"]["kinds"].values()) >= 0.6


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    path = tmp_path / "weights" / "ngram.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match=SUMS):
        load_shipped("ngram", Ngram.VERSION, tmp_path / "weights")


def test_weights_of_another_version_and_absent_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="version"):
        load_shipped("ngram", Ngram.VERSION + 1)
    with pytest.raises(StorageError, match="cannot read"):
        load_shipped("ngram", Ngram.VERSION, tmp_path)


def test_no_training_part_shares_a_group_or_a_text_with_another(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _script("training_data", monkeypatch)
    rows = data.load(shared)
    rows = pl.concat([rows, data.load_people(shared, rows)])
    for column in (rows["group"], rows["text"].map_elements(data.key, return_dtype=pl.String)):
        assert rows.group_by(column).agg(pl.col("part").n_unique())["part"].max() == 1


def test_a_render_is_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    dress = _script("augmentation", monkeypatch).dress
    text = "The bus is late again, and they never say why."
    assert dress(text, "a") == dress(text, "a")
    assert len({dress(text, str(seed)) for seed in range(40)}) > 10
