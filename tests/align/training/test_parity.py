"""The trainer's own step against oracles: a naive float64 loop, TRL's trainers, other splits into passes."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from align.data.rows import Rows
from align.data.run_folder import read_metrics
from align.objectives import OBJECTIVES
from align.objectives.phase import Phase, parse
from align.training.packing.attention import packed
from align.training.plan import Plan, make_plan
from align.training.reference import reference_for
from align.training.trainer import make_shell, train

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
    from align.training.checkpoints import Signals

    plan = make_plan(rows, made, 0)
    trainer = make_shell(policy, rows, plan, made, out, 0, "key", None, 10, Signals())
    if "reference" in made.objective.needs:
        trainer.step.reference = reference_for(reference, rows, plan, out, made.token_budget, lambda rows: None)
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
    assert len(trainer.step._split(STEP)[0]) >= 4
    assert abs(one - many) <= 1e-12
    for a, b in zip(whole, split, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", [16_384, 40])
def test_two_processes_are_one(
    budget: int, tiny_llama: TinyLlama, make_rows: MakeRows, two: Callable[[Callable[[int], None]], list[int]], tmp_path: Path
) -> None:
    rows = make_rows(48)
    reference = tiny_llama(double=True)
    policy = moved(reference, rows)
    made = phase("kto_s", token_budget=budget)

    def one(rank: int) -> None:
        loss, _, gradients, trainer = step(policy, reference, rows, made, tmp_path / str(rank))
        assert trainer.accelerator.num_processes == 2
        torch.save({"loss": loss, "gradients": gradients}, tmp_path / f"{rank}.pt")

    assert two(one) == [0, 0]
    loss, _, gradients, _ = step(policy, reference, rows, made, tmp_path)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert abs(found["loss"] - loss) <= 1e-10
        for ours, theirs in zip(found["gradients"], gradients, strict=True):
            assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def tokenizer() -> Any:
    """A word per token id, for TRL insists on one."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"t{index}": index for index in range(64)}, unk_token="t63"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="t0", bos_token="t1", eos_token="t2", unk_token="t63")


def trls(word: str, model: Any, reference: Any, out: Path) -> Any:
    """TRL's own trainer, set as ours is."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    common = {
        "output_dir": str(out),
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
        trainer: Any = KTOTrainer
    else:
        texts = {"prompt": ["t3"] * 8, "chosen": ["t4"] * 8, "rejected": ["t5"] * 8}
        arguments, trainer = DPOConfig(**common), DPOTrainer
    return trainer(
        model=model,
        ref_model=copy.deepcopy(reference),
        args=arguments,
        train_dataset=Dataset.from_dict(texts),
        processing_class=tokenizer(),
    )


def examples(word: str, rows: Rows, plan: Plan, at: int) -> list[dict[str, Any]]:
    """A batch of the plan as TRL's collator takes it."""
    batch = plan.batches[at]
    if word == "kto":
        return [
            {
                "prompt_ids": rows.prompts[row],
                "completion_ids": rows.completions[row],
                "KL_completion_ids": rows.completions[partner],
                "label": rows.desirable[row],
            }
            for row, partner in zip(batch.rows, batch.partners, strict=True)
        ]
    return [
        {
            "prompt_ids": rows.prompts[row],
            "chosen_ids": rows.completions[row],
            "rejected_ids": rows.completions[rows.pair[row]],
        }
        for row in batch.rows[::2]
    ]


def with_adapters(model: Any) -> Any:
    """LoRA whose update is not zero."""
    from align.models.adapters import Lora, add_adapters

    kind = next(model.parameters()).dtype
    add_adapters(model, Lora(rank=4), seed=0)
    torch.manual_seed(1)
    for name, value in model.named_parameters():
        if value.requires_grad:
            value.data = (torch.randn_like(value) * 0.1 if "lora_B" in name else value.data).to(kind)
    return model


def norm_of(gradients: list[torch.Tensor]) -> float:
    return float(torch.stack([value.double().norm() for value in gradients]).norm())


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("word", ["kto", "dpo"])
def test_the_step_is_trls(word: str, lora: bool, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    """In fp32: TRL takes its log-probabilities in fp32 whatever the weights are, so double precision is the naive loop's."""
    rows = make_rows(48, paired=word == "dpo")
    reference = tiny_llama()
    policy = with_adapters(copy.deepcopy(reference)) if lora else moved(reference, rows)
    theirs = copy.deepcopy(policy)
    plan = make_plan(rows, phase(word), 0)
    trained = [value for value in policy.parameters() if value.requires_grad]
    loss, gradients = our_step(policy, reference, rows, phase(word), plan, trained, tmp_path)
    other = trls(word, theirs, reference, tmp_path / "trl")
    expected = other.compute_loss(theirs, other.data_collator(examples(word, rows, plan, STEP)))
    expected.backward()
    against = [value.grad for value in theirs.parameters() if value.requires_grad]
    assert abs(loss - float(expected.detach())) <= 1e-6
    assert abs(norm_of(gradients) / norm_of(against) - 1) <= 1e-6
    difference = [a - b for a, b in zip(gradients, against, strict=True)]
    assert norm_of(difference) / norm_of(against) <= 1e-5


def our_step(
    policy: Any, reference: Any, rows: Rows, made: Phase, plan: Plan, trained: list[torch.Tensor], out: Path
) -> tuple[float, list[torch.Tensor]]:
    """Like `step`, for a model of which only some weights are trained."""
    from align.training.checkpoints import Signals

    trainer = make_shell(policy, rows, plan, made, out, 0, "key", None, 10, Signals())
    trainer.step.reference = reference_for(reference, rows, plan, out, made.token_budget, lambda rows: None)
    with packed(policy):
        loss = float(trainer.training_step(trainer.accelerator.prepare_model(policy), {"step": STEP}))
    gradients = []
    for value in trained:
        assert value.grad is not None
        gradients.append(value.grad.clone())
    return loss, gradients


def test_with_z_by_micro_batch_the_step_is_that_of_trl_accumulating(
    tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path
) -> None:
    rows = make_rows(48)
    reference = tiny_llama()
    policy = moved(reference, rows)
    theirs = copy.deepcopy(policy)
    loss, plan, _, _ = step(policy, reference, rows, phase("kto", kl_scope={"micro": 2}), tmp_path)
    other = trls("kto", theirs, reference, tmp_path / "trl")
    batch = examples("kto", rows, plan, STEP)
    expected = [
        float(other.compute_loss(theirs, other.data_collator(part)).detach())
        for part in (batch[0:2], batch[2:4], batch[4:6], batch[6:8])
    ]
    assert abs(loss - sum(expected) / 4) <= 1e-6
    whole, *_ = step(policy, reference, rows, phase("kto"), tmp_path / "whole")
    assert abs(loss - whole) > 1e-5


@pytest.mark.parametrize("word", ["kto", "dpo"])
def test_twenty_steps_go_where_trls_go(word: str, tiny_llama: TinyLlama, make_rows: MakeRows, tmp_path: Path) -> None:
    rows = make_rows(48, paired=word == "dpo")
    made = phase(word, steps=20, scheduler="constant", warmup_share=0.0)
    reference = tiny_llama()
    theirs = copy.deepcopy(reference)
    train(copy.deepcopy(reference), rows, made, tmp_path / "ours", seed=0)
    ours = [line["loss"] for line in read_metrics(tmp_path / "ours" / "metrics.jsonl")]
    plan, other = make_plan(rows, made, 0), trls(word, theirs, reference, tmp_path / "trl")
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=made.learning_rate, weight_decay=0.0)
    found = []
    theirs.eval()
    for at in range(20):
        loss = other.compute_loss(theirs, other.data_collator(examples(word, rows, plan, at)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), made.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(loss.detach()))
    assert found[-1] < found[0] - 0.01
    assert max(abs(a - b) for a, b in zip(ours, found, strict=True)) <= 1e-4
