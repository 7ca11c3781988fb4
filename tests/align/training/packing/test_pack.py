"""Packing: what stands where, and which positions predict which tokens."""

from __future__ import annotations

import torch

from align.training.packing.pack import SHORTEST_GROUP, lay, lay_after


def test_segments_lie_end_to_end_without_their_last_token() -> None:
    pack = lay([([5, 6], [7, 2]), ([8], [9, 10, 2])])
    assert pack.tokens.tolist() == [[5, 6, 7, 8, 9, 10]]
    assert pack.positions.tolist() == [[0, 1, 2, 0, 1, 2]]
    assert pack.bounds.tolist() == [0, 3, 6] and pack.longest == 3


def test_each_completion_token_is_scored_where_it_is_predicted() -> None:
    pack = lay([([5, 6], [7, 2]), ([8], [9, 10, 2])])
    assert pack.scored.tolist() == [1, 2, 3, 4, 5]
    assert pack.targets.tolist() == [7, 2, 9, 10, 2]
    assert pack.owner.tolist() == [0, 0, 1, 1, 1]


def test_a_shared_prompt_is_laid_once_and_predicts_both_first_tokens() -> None:
    pack = lay([([5, 6], [7, 2]), ([8], [2]), ([5, 6], [9, 10, 2]), ([5, 6], [2])])
    assert pack.tokens.tolist() == [[5, 6, 7, 8, 9, 10]]
    assert pack.positions.tolist() == [[0, 1, 2, 0, 2, 3]]
    assert pack.scored.tolist() == [1, 2, 3, 1, 4, 5, 1]
    assert pack.targets.tolist() == [7, 2, 2, 9, 10, 2, 2]
    assert pack.bounds.tolist() == [0, 2, 3, 4, 6]
    assert pack.key_bounds.tolist() == [0, 2, 5, 6, 10] and pack.longest_key == 4


def test_behind_an_earlier_pass_only_the_last_prompt_token_is_laid_again() -> None:
    earlier = lay([([5, 6], [7, 2]), ([8], [9, 2])], keep=True)
    earlier.writes = {0: (torch.zeros(1), torch.zeros(1))}
    pack = lay_after(earlier, [([8], [7, 2]), ([5, 6], [9, 2])], [1, 0])
    assert pack.tokens.tolist() == [[8, 7, 6, 9]]
    assert pack.positions.tolist() == [[0, 1, 1, 2]]
    assert pack.scored.tolist() == [0, 1, 2, 3] and pack.targets.tolist() == [7, 2, 9, 2]
    assert pack.key_bounds.tolist() == [0, 2, 5]


def test_groups_hold_every_token_once_and_give_it_back_in_place() -> None:
    sizes = [3, SHORTEST_GROUP + 5, 7, 2 * SHORTEST_GROUP + 1, SHORTEST_GROUP, SHORTEST_GROUP + 1]
    pack = lay([([index, *range(size - 1)], [1]) for index, size in enumerate(sizes)])
    groups, order = pack.grouped
    assert [group.width for group in groups] == [SHORTEST_GROUP, SHORTEST_GROUP + 5, 2 * SHORTEST_GROUP + 1]
    taken = torch.cat([group.queries[group.slots] for group in groups])
    assert order is not None
    assert torch.equal(taken[order], torch.arange(sum(sizes)))
