"""FSDP2: a sharded step has the gradient of a whole one, and the model comes back whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from align.data.rows import Rows
from align.data.run_folder import WEIGHTS
from align.objectives.phase import parse
from align.processes import ranks, sharding
from align.training.checkpoints import Signals, finish
from align.training.finite import bad_weight
from align.training.job import TrainingJob
from align.training.journal import Journal
from align.training.packing.attention import packed
from align.training.plan import make_plan
from align.training.reference import reference_for
from align.training.shell import PackedTrainer, training_arguments
from align.training.step import Preparation
from curate.core.errors import RecipeError

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
Two = Callable[[Callable[[int], None]], list[int]]
ROOT = Path(__file__).resolve().parents[3]
STEP = 1


def step(model: Any, reference: Any, rows: Rows, out: Path) -> float:
    """One packed KTO-S step's loss; the gradient stays in the model."""
    made = parse({"kto_s": {"learning_rate": 1e-3, "batch_size": 8, "epochs": 2}}, "r.yaml: phases[0]")
    plan = make_plan(rows, made, 0)
    job = TrainingJob(model, rows, made, out, 0)
    known = reference_for(reference, rows, plan, out, made.token_budget, lambda count: None)
    trainer = PackedTrainer(
        job,
        training_arguments(job, len(plan.batches)),
        Preparation(plan, reference=known),
        Journal(None, 0),
        key="key",
        signals=Signals(),
        on_step=lambda steps: None,
    )
    with packed(model):
        return float(trainer.training_step(model, {"step": STEP}))


@pytest.mark.parametrize("tied", [True, False])
def test_a_sharded_step_is_a_whole_one_and_the_model_comes_back(
    tied: bool, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path, two: Two
) -> None:
    rows, reference = make_rows(48), tiny_llama(tie_word_embeddings=tied)
    policy = tiny_llama(seed=1, tie_word_embeddings=tied)
    expected = copy.deepcopy(policy)
    loss = step(expected, reference, rows, tmp_path / "whole")
    gradients = {name: value.grad for name, value in expected.named_parameters()}

    def sharded(rank: int) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard
        from torch.distributed.tensor import DTensor

        with ranks.joined():
            trained: Any = sharding.lend(policy)
            assert all(value.is_meta for value in policy.parameters())
            mesh = init_device_mesh("cpu", (2,))
            for layer in trained.model.layers:
                fully_shard(layer, mesh=mesh)
            fully_shard(trained, mesh=mesh)
            assert isinstance(trained, FSDPModule) and all(isinstance(value, DTensor) for value in trained.parameters())
            assert abs(step(trained, reference, rows, tmp_path / str(rank)) - loss) <= 1e-6
            for name, value in trained.named_parameters():
                apart = (value.grad.full_tensor() - gradients[name]).abs().max()
                assert float(apart) <= 3e-7 * max(1.0, float(gradients[name].abs().max())), name
            norm = sharding.whole(torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0))
            assert type(norm) is torch.Tensor and bad_weight(trained) is None
            state = sharding.full_state(trained)
            out = tmp_path / "model"
            ranks.on_main(lambda: finish(trained, out, "key", {}, state))
            sharding.give_back(policy, out / WEIGHTS, "cpu")
            for name, value in policy.named_parameters():
                assert torch.equal(value, expected.get_parameter(name)), name
            assert type(policy).__name__ == "LlamaForCausalLM"
            assert policy.generate(torch.tensor([[3, 4]]), max_new_tokens=2, min_new_tokens=2, do_sample=False).shape == (1, 4)

    assert two(sharded) == [0, 0]


@pytest.mark.parametrize(("version", "named"), [("1", "fsdp_version is not 2"), ("2", "FSDP needs GPUs")])
def test_what_would_not_shard_is_refused(version: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU accelerate trains unsharded and says nothing."""
    assert not sharding.asked()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match=named):
        sharding.asked()


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_accelerate_reads_the_configs_that_ship(name: str, tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    path = ROOT / "recipes" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.num_processes == 2 and config.mixed_precision == "no"
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "-m", "align", "run", "R.yaml"])
    arguments, *_ = _validate_launch_command(arguments)
    environment = prepare_multi_gpu_env(arguments)
    assert (environment.get("ACCELERATE_USE_FSDP"), environment.get("FSDP_VERSION")) == (
        ("true", "2") if name == "fsdp2" else (None, None)
    )
