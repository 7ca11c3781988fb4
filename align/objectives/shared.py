"""What several objectives share: the types of what they declare, and the value that KTO and its kin give a completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

Beta = Annotated[float, Field(gt=0)]  # per nat
Weight = Annotated[float, Field(ge=0)]
Per = Literal["token", "row", "pair"]


def value_loss(gain: Tensor, desirable: Tensor, beta: float, weights: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """Loss weight * (1 - sigmoid(beta * gain)) of a desirable row, weight * (1 - sigmoid(-beta * gain)) of another.

    Written as weight * sigmoid(-a): 1 - sigmoid(a) cancels where a is large.

    Args:
        gain: how far a row's log-ratio lies above its reference point, in nats; shape (rows,).
        desirable: boolean, shape (rows,).
        beta: steepness, per nat.
        weights: of desirable and of undesirable rows.

    Returns:
        Dimensionless, in (0, weight), shape (rows,).

    Example:
        >>> import torch
        >>> value_loss(torch.tensor([0.0, 20.0, 20.0]), torch.tensor([True, True, False]), beta=0.1)
        tensor([0.5000, 0.1192, 0.8808])
    """
    import torch

    direction = torch.where(desirable, 1.0, -1.0).to(gain.dtype)
    weight = torch.full_like(gain, weights[1]).masked_fill(desirable, weights[0])
    return weight * torch.sigmoid(-beta * direction * gain)
