"""The probe says whether z rises in a setting, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.objectives.phase import parse
from align.pipeline import drift as kl_probe
from align.pipeline.drift import drift, preview_drift, probe_drift, skewed
from align.pipeline.recipe import read_recipe

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]


@pytest.mark.parametrize("share", [0.9, 0.97])
@pytest.mark.parametrize("given", [0.3, 0.5, 0.99])
def test_rows_are_skewed_to_the_share_by_dropping_some(share: float, given: float, make_rows: MakeRows) -> None:
    rows = make_rows(400, share=given)
    found = skewed(rows, share, seed=1)
    assert sum(found.desirable) / len(found) == pytest.approx(share, abs=0.01)
    assert set(found.ids) <= set(rows.ids) and found.ids == skewed(rows, share, seed=1).ids != skewed(rows, share, seed=2).ids


def test_a_journal_is_summed_up_from_its_second_step_on() -> None:
    lines = [{"kl": kl} for kl in (9.0, 0.0, 2.0, 4.0, 0.5)]
    found = drift(lines, beta=0.25, share=0.9)
    assert (found.positive, found.felt, found.most, found.steps) == (0.75, 0.5, 1.0, 5)
    assert found.mean == pytest.approx(0.25 * 6.5 / 4)


def test_z_rises_where_every_desirable_completion_is_one_of_two(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kl_probe, "STEPS", 8)
    rows = make_rows(120)
    stock = [rows.completions[0], rows.completions[1]]
    said = [stock[at % 2] if side else own for at, (side, own) in enumerate(zip(rows.desirable, rows.completions, strict=True))]
    rows = Rows(rows.prompts, said, rows.desirable, rows.pair, rows.ids)
    made = parse({"kto": {"learning_rate": 5e-3, "batch_size": 8, "beta": 0.5}}, "r.yaml")
    model = tiny_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = list(probe_drift(model, rows, made, 0, lambda line: None, tmp_path))
    assert [round(one.share, 2) for one in found[::2]] == [0.5, 0.9, 0.97] and [one.beta for one in found[:2]] == [0.5, 2.5]
    assert max(one.felt for one in found) > 0.5
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_recipe_gets_a_table_and_a_verdict(pairs: Path, terms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kl_probe, "STEPS", 3)
    path = tmp_path / "r.yaml"
    path.write_text(
        f"""
name: small
data: {pairs}
model: {{"builtin:tiny": {{vocab_size: 400, hidden_size: 32, layers: 1, epochs: 1, batch_size: 32}}}}
phases: [sft: {{learning_rate: 3e-3, steps: 2}}, kto_s: {{learning_rate: 1e-3, batch_size: 8}}, dpo: {{learning_rate: 1e-3}}]
eval: {{suites: [heldout], judge: {{lexicon: {{terms: {terms}}}}}}}
"""
    )
    said: list[str] = []
    text = preview_drift(read_recipe(path), tmp_path / "cache", said.append)
    assert text.count("2-kto_s") == 6 and "3-dpo" not in text and "settings: KTO" in text
    assert said[0].startswith("1-sft: ") and len(said) == 7
    only = read_recipe(path, ["phases=[{dpo: {learning_rate: 1e-3}}]"])
    assert preview_drift(only, tmp_path / "cache", said.append) == "no phase of this recipe measures z"
