"""The trainer's own step against oracles: a naive float64 loop, TRL's trainers, other splits into passes."""

from __future__ import annotations

import copy
import dataclasses
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from align.attention import packed
from align.objectives import OBJECTIVES
from align.phase import Phase, parse
from align.plan import Plan, make_plan
from align.reference import reference_for
from align.rows import Rows
from align.trainer import _shell

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]
pytestmark = pytest.mark.parity
STEP = 1  # any but the first, where the policy must still be its reference
BETA = 0.3
PAIRED = {"dpo", "ipo", "cpo", "orpo", "safe_dpo", "bfpo"}


def phase(word: str, **options: object) -> Phase:
    given: dict[str, object] = {"learning_rate": 1e-3, "batch_size": 8, "epochs": 2}
    if word not in {"sft", "orpo"}:
        given["beta"] = BETA
    if word == "safe_dpo":
        given["margin"] = 0.4
    if word in {"kto", "kto_s"}:
        given |= {"lambda_desirable": 1.2, "lambda_undesirable": 0.7}
    return parse({word: given | options}, "r.yaml: phases[0]")


def moved(model: Any, towards: Rows) -> Any:
    """A copy of a model, some way from it, that likes every completion better: mismatched log-ratios are then positive too."""
    policy = copy.deepcopy(model)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)
    for prompt, completion in zip(towards.prompts[:16], towards.completions[16:32], strict=True):
        tokens = torch.tensor([prompt + completion])
        policy(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return policy


def step(policy: Any, reference: Any, rows: Rows, made: Phase, out: Path) -> tuple[float, Plan, list[torch.Tensor], Any]:
    """One packed step: its loss, its plan, the gradients it leaves."""
    from align.checkpoints import Signals

    plan = make_plan(rows, made, 0)
    trainer = _shell(policy, rows, plan, made, out, 0, "key", None, 10, Signals())
    if "reference" in made.objective.needs:
        trainer.reference = reference_for(reference, rows, plan, "key", out, made.token_budget, lambda rows: None)
    policy.zero_grad()
    with packed(policy):
        loss = float(trainer.training_step(trainer.accelerator.prepare_model(policy), {"step": STEP}))
    return loss, plan, [value.grad.clone() for value in policy.parameters()], trainer


def log_prob(model: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([prompt + completion]), use_cache=False).logits[0].log_softmax(-1)
    return torch.stack([logits[len(prompt) - 1 + place, token] for place, token in enumerate(completion)]).sum()


def rows_for(word: str, make_rows: MakeRows) -> Rows:
    """Rows that the objective can use; of pairs with safety labels, every kind."""
    rows = make_rows(48, paired=word in PAIRED)
    if word not in {"safe_dpo", "bfpo"}:
        return rows
    return dataclasses.replace(rows, unsafe=[bool((index // 2) & (1 + index % 2)) for index in range(48)])


def pair_by_hand(word: str, w: int, l: int, score: Callable[[int], torch.Tensor], rows: Rows) -> torch.Tensor:  # noqa: E741
    """A pair's loss; `score` gives r, or log p where there is no reference."""
    a, b = score(w), score(l)
    n, m = len(rows.completions[w]), len(rows.completions[l])
    if word == "dpo":
        return -F.logsigmoid(BETA * (a - b))
    if word == "ipo":
        return (a / n - b / m - 1 / (2 * BETA)) ** 2
    if word == "cpo":
        return -F.logsigmoid(BETA * (a - b)) - a
    if word == "orpo":
        p, q = (a / n).exp(), (b / m).exp()
        return -p.log() - 0.1 * F.logsigmoid((p / (1 - p) / (q / (1 - q))).log())
    assert rows.unsafe is not None
    unsafe = rows.unsafe[w], rows.unsafe[l]
    if word == "bfpo":
        target = {(0, 0): 0.5, (0, 1): 1.0, (1, 0): -1.0, (1, 1): -0.5}[unsafe]
        return (a - b - target / BETA) ** 2
    winner, loser, h = (b, a, 1) if unsafe == (True, False) else (a, b, unsafe[1] - unsafe[0])
    return -F.logsigmoid(BETA * winner - BETA * loser - h * 0.4)


def by_hand(word: str, policy: Any, reference: Any, rows: Rows, plan: Plan) -> torch.Tensor:
    """The loss as the papers write it, one row at a time."""
    batch = plan.batches[STEP]

    def ratio(prompt: list[int], completion: list[int]) -> torch.Tensor:
        with torch.no_grad():
            before = log_prob(reference, prompt, completion)
        return log_prob(policy, prompt, completion) - before

    def log_prob_of(prompt: list[int], completion: list[int]) -> torch.Tensor:
        return log_prob(policy, prompt, completion)

    if word == "sft":
        scores = [log_prob(policy, rows.prompts[row], rows.completions[row]) for row in batch.rows]
        return -torch.stack(scores).sum() / sum(len(rows.completions[row]) for row in batch.rows)
    free = word in {"cpo", "orpo"}
    r = {row: (log_prob_of if free else ratio)(rows.prompts[row], rows.completions[row]) for row in batch.rows}
    if word in PAIRED:
        chosen = [row for row in batch.rows if rows.desirable[row]]
        return torch.stack([pair_by_hand(word, row, rows.pair[row], r.__getitem__, rows) for row in chosen]).mean()
    if word == "apo_zero":
        gains = [(row, torch.sigmoid(BETA * r[row])) for row in batch.rows]
        return torch.stack([1 - gain if rows.desirable[row] else gain for row, gain in gains]).mean()
    with torch.no_grad():
        mismatched = [ratio(rows.prompts[a], rows.completions[b]) for a, b in zip(batch.rows, batch.partners, strict=True)]
        z = torch.stack(mismatched).mean().clamp(min=0)
    assert z > 0.1, "this test says nothing about z otherwise"
    losses = []
    for row in batch.rows:
        shift = -z if word == "kto" or r[row] <= 0 else z
        gain = torch.sigmoid(BETA * (r[row] + shift))
        losses.append(1.2 * (1 - gain) if rows.desirable[row] else 0.7 * (1 - torch.sigmoid(-BETA * (r[row] + shift))))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("word", OBJECTIVES)
def test_the_step_is_the_naive_loop_in_double_precision(
    word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    rows = rows_for(word, make_rows)
    reference = tiny_llama(double=True)
    policy = moved(reference, rows)
    loss, plan, gradients, _ = step(policy, reference, rows, phase(word), tmp_path)
    policy.zero_grad()
    expected = by_hand(word, policy, reference, rows, plan)
    expected.backward()
    assert abs(loss - float(expected.detach())) <= 1e-10
    for ours, value in zip(gradients, policy.parameters(), strict=True):
        assert torch.allclose(ours, value.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("word", "options"), [("sft", {}), ("orpo", {}), ("bfpo", {}), ("kto_s", {}), ("kto", {"kl_scope": {"micro": 3}})]
)
def test_the_number_of_passes_changes_nothing(
    word: str, options: dict[str, Any], tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    rows = rows_for(word, make_rows)
    reference = tiny_llama(double=True)
    policy = moved(reference, rows)
    one, _, whole, _ = step(policy, reference, rows, phase(word, **options), tmp_path / "one")
    many, _, split, trainer = step(policy, reference, rows, phase(word, token_budget=30, **options), tmp_path / "many")
    units = [(index,) for index in range(8)]
    assert len(trainer._mine(units, [12] * 8)) == 4
    assert abs(one - many) <= 1e-12
    for a, b in zip(whole, split, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [16_384, 40])
def test_two_processes_are_one(budget: int, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    rows = make_rows(48)
    reference = tiny_llama(double=True)
    policy = moved(reference, rows)
    made = phase("kto_s", token_budget=budget)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                one_of_two(rank, port, policy, reference, rows, made, tmp_path)
            finally:
                os._exit(1)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    loss, _, gradients, _ = step(policy, reference, rows, made, tmp_path)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert abs(found["loss"] - loss) <= 1e-10
        for ours, theirs in zip(found["gradients"], gradients, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def one_of_two(rank: int, port: int, policy: Any, reference: Any, rows: Rows, made: Phase, out: Path) -> None:
    """A process of a gloo pair: its step goes to a file; never returns."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    loss, _, gradients, trainer = step(policy, reference, rows, made, out / str(rank))
    assert trainer.accelerator.num_processes == 2
    torch.save({"loss": loss, "gradients": gradients}, out / f"{rank}.pt")
    os._exit(0)


def tokenizer() -> Any:
    """A word per token id, for TRL insists on one."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"t{index}": index for index in range(64)}, unk_token="t63"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="t0", bos_token="t1", eos_token="t2", unk_token="t63")


@pytest.mark.parametrize("word", ["kto", "dpo"])
def test_the_step_is_trls(word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    rows = make_rows(48, paired=word == "dpo")
    reference = tiny_llama()
    policy = moved(reference, rows)
    theirs = copy.deepcopy(policy)
    made = phase(word)
    loss, plan, gradients, _ = step(policy, reference, rows, made, tmp_path)
    batch = plan.batches[STEP]
    common = {
        "output_dir": str(tmp_path / "trl"),
        "beta": BETA,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "per_device_train_batch_size": 8,
        "gradient_checkpointing": False,
    }
    if word == "kto":
        texts = {"prompt": ["t3"] * 8, "completion": ["t4", "t5"] * 4, "label": [True, False] * 4}
        arguments = KTOConfig(**common, desirable_weight=1.2, undesirable_weight=0.7)
        examples = [
            {
                "prompt_ids": rows.prompts[row],
                "completion_ids": rows.completions[row],
                "KL_completion_ids": rows.completions[partner],
                "label": rows.desirable[row],
            }
            for row, partner in zip(batch.rows, batch.partners, strict=True)
        ]
        trainer: Any = KTOTrainer
    else:
        texts = {"prompt": ["t3"] * 8, "chosen": ["t4"] * 8, "rejected": ["t5"] * 8}
        arguments = DPOConfig(**common)
        examples = [
            {
                "prompt_ids": rows.prompts[row],
                "chosen_ids": rows.completions[row],
                "rejected_ids": rows.completions[rows.pair[row]],
            }
            for row in batch.rows[::2]
        ]
        trainer = DPOTrainer
    other = trainer(
        model=theirs,
        ref_model=copy.deepcopy(reference),
        args=arguments,
        train_dataset=Dataset.from_dict(texts),
        processing_class=tokenizer(),
    )
    expected = other.compute_loss(theirs, other.data_collator(examples))
    expected.backward()
    assert abs(loss - float(expected.detach())) <= 1e-6
    norm = torch.stack([value.grad.norm() for value in theirs.parameters()]).norm()
    difference = torch.stack([(a - b.grad).norm() for a, b in zip(gradients, theirs.parameters(), strict=True)]).norm()
    assert float(difference / norm) <= 1e-5
