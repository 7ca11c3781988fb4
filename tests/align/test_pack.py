"""Packing: what stands where, and which positions predict which tokens."""

from __future__ import annotations

import torch

from align.pack import SHORTEST_GROUP, lay


def test_segments_lie_end_to_end_and_positions_start_again() -> None:
    pack = lay([([5, 6], [7]), ([8], [9, 10])])
    assert pack.tokens.tolist() == [[5, 6, 7, 8, 9, 10]]
    assert pack.positions.tolist() == [[0, 1, 2, 0, 1, 2]]
    assert pack.bounds.tolist() == [0, 3, 6] and pack.longest == 3


def test_each_completion_token_is_scored_where_it_is_predicted() -> None:
    pack = lay([([5, 6], [7]), ([8], [9, 10])])
    assert pack.scored.tolist() == [1, 3, 4]
    assert pack.targets.tolist() == [7, 9, 10]
    assert pack.owner.tolist() == [0, 1, 1]


def test_groups_hold_every_token_once_and_give_it_back_in_place() -> None:
    sizes = [3, SHORTEST_GROUP + 5, 7, 2 * SHORTEST_GROUP + 1, SHORTEST_GROUP, SHORTEST_GROUP + 1]
    pack = lay([(list(range(size - 1)), [1]) for size in sizes])
    assert [group.width for group in pack.groups] == [SHORTEST_GROUP, SHORTEST_GROUP + 5, 2 * SHORTEST_GROUP + 1]
    taken = torch.cat([group.gather[group.slots] for group in pack.groups])
    assert pack.order is not None
    assert torch.equal(taken[pack.order], torch.arange(sum(sizes)))
