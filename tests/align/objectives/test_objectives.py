"""Losses by hand: KTO_S's statements, every other objective's formula, and what each declares."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from align.objectives import OBJECTIVES
from align.objectives.apo_zero import APOZero
from align.objectives.bfpo import BFPO
from align.objectives.cpo import CPO
from align.objectives.dpo import DPO
from align.objectives.ipo import IPO
from align.objectives.kto import KTO
from align.objectives.kto_s import KTOS
from align.objectives.orpo import ORPO
from align.objectives.safe_dpo import SafeDPO
from align.objectives.sft import SFT


def slope(objective: Any, r: float, z: float, desirable: bool) -> float:
    """dL/dr of one row, float64."""
    ratio = torch.tensor([r], dtype=torch.float64, requires_grad=True)
    objective(ratio, torch.tensor([desirable]), torch.tensor(z, dtype=torch.float64)).sum().backward()
    assert ratio.grad is not None
    return float(ratio.grad)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize(
    ("r", "z", "kto", "kto_s"),
    [
        (20, 0, -0.01050, -0.01050),
        (20, 5, -0.01491, -0.00701),
        (20, 10, -0.01966, -0.00452),
        (20, 15, -0.02350, -0.00285),
        (20, 30, -0.01966, -0.00066),
        (-20, 10, -0.00452, -0.00452),
    ],
)
def test_the_gradient_is_the_one_worked_by_hand(r: float, z: float, kto: float, kto_s: float, desirable: bool) -> None:
    sign = 1 if desirable else -1
    assert slope(KTO(beta=0.1), r, z, desirable) == pytest.approx(sign * kto, abs=5e-6)
    assert slope(KTOS(beta=0.1), r, z, desirable) == pytest.approx(sign * kto_s, abs=5e-6)


@pytest.mark.parametrize("desirable", [True, False])
@pytest.mark.parametrize("r", [-35.0, -3.0, 0.0, 0.5, 20.0])
def test_under_kto_s_a_larger_drift_always_shrinks_the_update(r: float, desirable: bool) -> None:
    slopes = [slope(KTOS(beta=0.2), r, z, desirable) for z in (0.0, 0.1, 1.0, 5.0, 20.0, 60.0)]
    assert all(abs(later) < abs(earlier) for earlier, later in zip(slopes, slopes[1:], strict=False))
    assert all((value < 0) is desirable and value != 0 for value in slopes)


def test_under_kto_a_larger_drift_can_enlarge_the_update() -> None:
    assert abs(slope(KTO(beta=0.1), 20, 15, True)) > abs(slope(KTO(beta=0.1), 20, 0, True))


@pytest.mark.parametrize("desirable", [True, False])
def test_kto_s_is_kto_below_zero_and_without_drift(desirable: bool) -> None:
    below = torch.tensor([-40.0, -1.0, -1e-9, 0.0], dtype=torch.float64)
    anywhere = torch.tensor([-3.0, 0.0, 2.0, 50.0], dtype=torch.float64)
    labels, drift = torch.full((4,), desirable), torch.tensor(7.0, dtype=torch.float64)
    kto, kto_s = KTO(beta=0.3, lambda_undesirable=1.5), KTOS(beta=0.3, lambda_undesirable=1.5)
    assert torch.equal(kto(below, labels, drift), kto_s(below, labels, drift))
    assert torch.equal(kto(anywhere, labels, drift * 0), kto_s(anywhere, labels, drift * 0))


@pytest.mark.parametrize("desirable", [True, False])
def test_above_zero_kto_s_is_kto_with_the_drift_turned_round(desirable: bool) -> None:
    sign = 1 if desirable else -1
    for r, z in [(0.5, 3.0), (20.0, 10.0)]:
        found = KTOS(beta=0.1)(torch.tensor([r]), torch.tensor([desirable]), torch.tensor(z))
        assert float(found) == pytest.approx(sigmoid(-0.1 * sign * (r + z)), rel=1e-6)


@pytest.mark.parametrize("objective", [KTO(beta=0.1), KTOS(beta=0.1)])
def test_no_gradient_flows_through_the_drift(objective: Any) -> None:
    ratio = torch.tensor([3.0, -3.0], requires_grad=True)
    drift = torch.tensor(2.0, requires_grad=True)
    objective(ratio, torch.tensor([True, False]), drift).sum().backward()
    assert drift.grad is None and ratio.grad is not None


@pytest.mark.parametrize("objective", [KTO(beta=0.1), KTOS(beta=0.1)])
def test_a_negative_drift_counts_as_none(objective: Any) -> None:
    ratio, labels = torch.tensor([3.0, -3.0]), torch.tensor([True, False])
    assert torch.equal(objective(ratio, labels, torch.tensor(-9.0)), objective(ratio, labels, torch.tensor(0.0)))


@pytest.mark.parametrize("objective", [KTO(beta=0.5), KTOS(beta=0.5)])
def test_a_large_log_ratio_keeps_its_gradient_in_single_precision(objective: Any) -> None:
    ratio = torch.tensor([80.0], requires_grad=True)
    objective(ratio, torch.tensor([True]), torch.tensor(0.0)).sum().backward()
    assert ratio.grad is not None and float(ratio.grad) == pytest.approx(-0.5 * math.exp(-40), rel=1e-4)


def test_the_weights_multiply_their_class() -> None:
    ratio, labels, drift = torch.tensor([1.0, 1.0]), torch.tensor([True, False]), torch.tensor(0.5)
    plain, weighed = (KTOS(beta=0.2), KTOS(beta=0.2, lambda_desirable=2.0, lambda_undesirable=3.0))
    ratios = weighed(ratio, labels, drift) / plain(ratio, labels, drift)
    assert ratios.tolist() == pytest.approx([2.0, 3.0])


def test_dpo_by_hand() -> None:
    chosen, rejected = torch.tensor([2.0, -1.0], requires_grad=True), torch.tensor([-3.0, 4.0])
    losses = DPO(beta=0.1)(chosen, rejected)
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(-0.5)), math.log(1 + math.exp(0.5))], rel=1e-6)
    losses.sum().backward()
    assert chosen.grad is not None and chosen.grad.tolist() == pytest.approx([-0.1 * sigmoid(-0.5), -0.1 * sigmoid(0.5)])


def test_dpo_does_not_overflow() -> None:
    assert DPO(beta=1.0)(torch.tensor([-5e3]), torch.tensor([5e3])).tolist() == [1e4]


def test_sft_is_the_negative_log_probability() -> None:
    assert SFT()(torch.tensor([-1.5, -0.25])).tolist() == [1.5, 0.25]


def test_ipo_is_at_rest_where_the_margin_per_token_is_the_target() -> None:
    chosen, rejected = torch.tensor([30.0, 4.0], requires_grad=True), torch.tensor([-20.0, -4.0])
    losses = IPO(beta=0.1)(chosen, rejected, torch.tensor([10, 2]), torch.tensor([10, 4]))
    assert losses.tolist() == pytest.approx([0.0, 4.0])  # 3 + 2 - 5; 2 + 1 - 5
    losses.sum().backward()
    assert chosen.grad is not None and chosen.grad.tolist() == pytest.approx([0.0, 2 * -2 / 2])


@pytest.mark.parametrize("desirable", [True, False])
def test_apo_zero_is_kto_without_drift(desirable: bool) -> None:
    ratio, labels = torch.tensor([-30.0, -1.0, 0.0, 2.0]), torch.full((4,), desirable)
    assert torch.equal(APOZero(beta=0.3)(ratio, labels), KTO(beta=0.3)(ratio, labels, torch.tensor(0.0)))
    sign = 1 if desirable else -1
    found = APOZero(beta=0.5)(torch.tensor([2.0]), torch.tensor([desirable]))
    assert float(found) == pytest.approx(sigmoid(-sign), rel=1e-6)


def test_cpo_by_hand() -> None:
    chosen, rejected = torch.tensor([-4.0], requires_grad=True), torch.tensor([-9.0])
    loss = CPO(beta=0.2, alpha=0.5)(chosen, rejected)
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-1)) + 2.0], rel=1e-6)
    loss.sum().backward()
    assert chosen.grad is not None and chosen.grad.tolist() == pytest.approx([-0.2 * sigmoid(-1) - 0.5])
    assert CPO(beta=0.2, alpha=0.0)(torch.tensor([-5e4]), torch.tensor([0.0])).tolist() == [1e4]


def test_orpo_by_hand() -> None:
    half, quarter = math.log(0.5), math.log(0.25)  # odds 1 and 1/3
    loss = ORPO(weight=0.2)(torch.tensor([4 * half]), torch.tensor([3 * quarter]), torch.tensor([4]), torch.tensor([3]))
    assert loss.tolist() == pytest.approx([-half - 0.2 * math.log(0.75)], rel=1e-6)  # sigmoid(log 3) = 3/4


@pytest.mark.parametrize("mean", [-1e-12, 0.0, -1e-5, -0.6931, -30.0, -500.0])
def test_orpo_keeps_its_gradient_finite_for_sure_and_for_hopeless_completions(mean: float) -> None:
    given = torch.tensor([mean, -1.0], requires_grad=True)
    losses = ORPO()(given, given.flip(0), torch.tensor([1, 1]), torch.tensor([1, 1]))
    losses.sum().backward()
    assert given.grad is not None and bool(torch.isfinite(losses).all() and torch.isfinite(given.grad).all())


@pytest.mark.parametrize(
    ("chosen_unsafe", "rejected_unsafe", "argument"),
    [(False, False, 0.5), (False, True, 0.5 - 3), (True, False, -0.5 - 3), (True, True, None)],
)
def test_under_safe_dpo_the_safe_side_wins_by_a_margin(
    chosen_unsafe: bool, rejected_unsafe: bool, argument: float | None
) -> None:
    found = SafeDPO(beta=0.1, margin=3.0)(
        torch.tensor([2.0]), torch.tensor([-3.0]), torch.tensor([chosen_unsafe]), torch.tensor([rejected_unsafe])
    )
    assert float(found) == pytest.approx(0.0 if argument is None else math.log(1 + math.exp(-argument)), rel=1e-6)


@pytest.mark.parametrize(
    ("chosen_unsafe", "rejected_unsafe", "target"),
    [(False, False, 0.5), (False, True, 1.0), (True, False, -1.0), (True, True, -0.5)],
)
def test_under_bfpo_the_target_depends_on_which_sides_are_safe(chosen_unsafe: bool, rejected_unsafe: bool, target: float) -> None:
    labels = torch.tensor([chosen_unsafe]), torch.tensor([rejected_unsafe])
    at_rest = BFPO()(torch.tensor([target / 0.01 + 7.0]), torch.tensor([7.0]), *labels)
    assert float(at_rest) == pytest.approx(0.0, abs=1e-6)
    assert float(BFPO(beta=1.0)(torch.tensor([2.0]), torch.tensor([0.0]), *labels)) == pytest.approx((2 - target) ** 2)


@pytest.mark.parametrize("word", OBJECTIVES)
def test_every_objective_returns_a_loss_per_row_or_pair_and_declares_its_needs(word: str) -> None:
    objective = OBJECTIVES[word]()
    shapes = {
        "log_prob": torch.full((6,), -2.0),
        "log_ratio": torch.linspace(-2, 2, 6),
        "desirable": torch.tensor([True, False] * 3),
        "kl": torch.tensor(0.5),
        "chosen_log_ratio": torch.linspace(-2, 2, 3),
        "rejected_log_ratio": torch.linspace(2, -2, 3),
        "chosen_log_prob": torch.linspace(-9, -2, 3),
        "rejected_log_prob": torch.linspace(-2, -9, 3),
        "chosen_tokens": torch.tensor([3, 4, 5]),
        "rejected_tokens": torch.tensor([5, 4, 3]),
        "chosen_unsafe": torch.tensor([False, False, True]),
        "rejected_unsafe": torch.tensor([False, True, False]),
    }
    losses = objective(*(shapes[name] for name in objective.reads))
    assert losses.shape == ((3,) if objective.per == "pair" else (6,))
    assert bool((losses > 0).all())
    assert len(objective.needs & {"desirable", "unpaired", "paired"}) == 1
    assert ("reference" in objective.needs) is any("ratio" in name for name in objective.reads)
    assert type(objective).__module__.rpartition(".")[2] == word
