"""Which rows meet in which step: a pure function of rows, phase, seed and the number of processes.

No torch and no state: a resumed run computes the same plan again and goes on at its step.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from align.data.rows import Rows
from align.objectives.phase import Phase
from curate.core.errors import DataError

Unit = tuple[int, ...]  # rows that stay together: one row, or the chosen and the rejected row of a pair


@dataclass(frozen=True)
class Batch:
    """One optimizer batch.

    Attributes:
        rows: indices of its rows; where the objective needs pairs, chosen and rejected alternate.
        partners: for each of `rows`, the row whose completion is put behind its prompt to measure z, or -1 where the batch
            holds no completion that could be; empty where the objective has no z.
    """

    rows: tuple[int, ...]
    partners: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All optimizer batches of a phase, in order, and the rows left out of it by reason."""

    batches: tuple[Batch, ...]
    rows: int
    left_out: dict[str, int]


def make_plan(rows: Rows, phase: Phase, seed: int) -> Plan:
    """Lay out a phase.

    Raises:
        DataError: no row that the objective can use, or no safety labels where it needs them.
    """
    if "safety" in phase.objective.needs and rows.unsafe is None:
        raise DataError(f"phase {phase.name}: its rows do not say which completions are unsafe", hint="give both sides' labels")
    units, left_out = usable(rows, phase)
    if not units:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(left_out.items())) or "there are none"
        raise DataError(f"phase {phase.name}: no row to train on ({reasons})", hint="check the data and max_length")
    per_epoch = _batches(units, phase.batch_size)
    total = phase.steps or max(1, math.ceil(phase.epochs * per_epoch))
    batches: list[Batch] = []
    for epoch in range(math.ceil(total / per_epoch)):
        for index, group in enumerate(deal(units, rows.desirable, per_epoch, f"{seed}:{epoch}")):
            members = tuple(row for unit in group for row in unit)
            others = partners(rows, members, f"{seed}:{epoch}:{index}") if "kl" in phase.objective.reads else ()
            batches.append(Batch(members, others))
    return Plan(tuple(batches[:total]), sum(map(len, units)), left_out)


def usable(rows: Rows, phase: Phase) -> tuple[list[Unit], dict[str, int]]:
    """The units that an objective can learn from, and how many rows it cannot, by reason."""
    units: list[Unit] = []
    left_out: Counter[str] = Counter()
    together = "paired" in phase.objective.needs or (phase.together and "unpaired" in phase.objective.needs)
    for index, partner in enumerate(rows.pair):
        if "paired" in phase.objective.needs and partner == -1:
            left_out["without a pair"] += 1
            continue
        if together and partner != -1:
            if not rows.desirable[index]:
                continue  # counted with its chosen row
            if "safe_side" in phase.objective.needs and rows.unsafe is not None and rows.unsafe[index] and rows.unsafe[partner]:
                left_out["unsafe on both sides"] += 2
                continue
            unit: Unit = (index, partner)
        elif "desirable" in phase.objective.needs and not rows.desirable[index]:
            left_out["undesirable"] += 1
            continue
        else:
            unit = (index,)
        if max(rows.lengths[row] for row in unit) > phase.max_length:
            left_out["longer than max_length"] += len(unit)
        else:
            units.append(unit)
    return units, dict(left_out)


def deal(units: Sequence[Unit], desirable: Sequence[bool], batches: int, seed: str) -> list[list[Unit]]:
    """Shuffle an epoch's units and deal them into batches.

    Sizes differ by one unit at most, so that no batch is a small left-over, and so do the counts of pairs and of each class:
    KTO needs both classes in every step. Every unit is dealt once.
    """
    draw = random.Random(f"deal:{seed}")  # a text seed hashes the same everywhere
    placed: list[tuple[float, Unit]] = []
    for size, side in ((size, side) for size in sorted({len(unit) for unit in units}, reverse=True) for side in (True, False)):
        group = [unit for unit in units if len(unit) == size and desirable[unit[0]] is side]
        draw.shuffle(group)
        offset = draw.random()
        placed += [((place + offset) / len(group), unit) for place, unit in enumerate(group)]
    order = [unit for _, unit in sorted(placed, key=lambda item: item[0])]
    ends = list(itertools.accumulate(map(len, order)))
    dealt: list[list[Unit]] = [[] for _ in range(batches)]
    for unit, end in zip(order, ends, strict=True):
        dealt[-(-end * batches // ends[-1]) - 1].append(unit)
    draw.shuffle(dealt)
    return dealt


def _batches(units: Sequence[Unit], most: int) -> int:
    """The fewest batches of an epoch for none to have more rows than asked; mixed sizes may put one row too many in one."""
    sizes = {len(unit) for unit in units}
    if len(sizes) == 1:
        return math.ceil(len(units) / max(1, most // sizes.pop()))
    return math.ceil(sum(map(len, units)) / max(1, most - 1))


def partners(rows: Rows, members: Sequence[int], seed: str) -> tuple[int, ...]:
    """Give each prompt of a batch another row's completion: a permutation of the batch, fresh for every seed.

    No row meets a completion of its own prompt, nor one identical to its own. Matched and mismatched completions are then
    the same set, which is what makes z a measure of drift (Ethayarajh, huggingface/trl#1402). Where the batch cannot give
    every row such a partner (a batch of one; mostly one refusal), as many rows as possible get one and the others get -1.

    Returns:
        A row index per member, or -1; no index twice.
    """
    draw = random.Random(f"partners:{seed}")
    order = list(members)
    draw.shuffle(order)
    prompt, completion = rows.prompt_keys, rows.completion_keys

    def allowed(place: int, other: int) -> bool:
        a, b = order[place], order[other]
        return prompt[a] != prompt[b] and completion[a] != completion[b]

    match = _maximum_matching(len(order), allowed)
    partner_of = {order[place]: order[other] for place, other in enumerate(match) if other != -1}
    return tuple(partner_of.get(row, -1) for row in members)


def passes(units: Sequence[Unit], lengths: Sequence[int], budget: int, world: int = 1) -> list[list[list[Unit]]]:
    """Split a batch into forward passes, evenly by tokens.

    Every process gets the same number of passes (sharded models hang otherwise), and as few as the budget allows. A pass is
    over budget only where a unit by itself is, or where there are too few units to give each process another pass.

    Args:
        units: rows that must share a pass, as tuples of positions.
        lengths: tokens of each unit.
        budget: most tokens in a pass.
        world: number of processes.

    Returns:
        For each process, its passes; for each pass, its units in the order given.

    Raises:
        DataError: fewer units than processes.

    Example:
        >>> passes([(0,), (1,), (2,)], [5, 3, 4], budget=8)
        [[[(0,)], [(1,), (2,)]]]
    """
    if len(units) < world:
        raise DataError(f"an optimizer batch of {len(units)} cannot be split over {world} processes", hint="raise batch_size")
    most = len(units) // world
    count = min(most, max(1, math.ceil(sum(lengths) / (budget * world))))
    while True:
        bins = _level(lengths, count * world)
        if count == most or all(sum(lengths[item] for item in bin_) <= budget for bin_ in bins):
            break
        count += 1
    return [[[units[item] for item in sorted(bin_)] for bin_ in bins[rank::world]] for rank in range(world)]


def _level(lengths: Sequence[int], bins: int) -> list[list[int]]:
    """Longest first, each to the bin with the fewest tokens: no bin is empty while there are as many items as bins."""
    filled: list[list[int]] = [[] for _ in range(bins)]
    heap = [(0, index) for index in range(bins)]
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        tokens, index = heapq.heappop(heap)
        filled[index].append(item)
        heapq.heappush(heap, (tokens + lengths[item], index))
    return filled


def _maximum_matching(size: int, allowed: Callable[[int, int], bool]) -> list[int]:
    """A maximum matching of places 0..size-1 to themselves by augmenting paths, tried from each place's successor on.

    Where nothing is forbidden this is the shift by one of an order that is shuffled already, and costs a step a row.
    """
    match, taken_by = [-1] * size, [-1] * size
    for start in range(size):
        came_from: dict[int, int] = {}  # completion -> the place that reached it
        queue = deque([start])
        end = -1
        while queue and end == -1:
            place = queue.popleft()
            for shift in range(1, size + 1):
                other = (place + shift) % size
                if other in came_from or not allowed(place, other):
                    continue
                came_from[other] = place
                if taken_by[other] == -1:
                    end = other
                    break
                queue.append(taken_by[other])
        while end != -1:
            place = came_from[end]
            previous = match[place]
            match[place], taken_by[end] = end, place
            end = previous
    return match
