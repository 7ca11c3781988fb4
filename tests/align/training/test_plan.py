"""The plan: every row once an epoch, both classes in every step, partners that are truly other rows, passes within budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from align.data.rows import Rows
from align.objectives.phase import Phase, parse
from align.training.plan import make_plan, partners, passes
from curate.core.errors import DataError, RecipeError

MakeRows = Callable[..., Rows]
SINGLES = [(8, 17, 10, 13, 6, 5, 15), (19, 12, 14, 1, 3, 18, 9), (2, 7, 16, 11, 20, 0, 4)]
PAIRS = [(4, 5, 0, 1, 2, 3, 8, 9), (10, 11, 12, 13, 6, 7)]


def phase(word: str = "kto_s", **options: object) -> Phase:
    return parse({word: {"learning_rate": 1e-3, "batch_size": 8, **options}}, "r.yaml: phases[0]")


def one(prompt: int, completion: int) -> tuple[list[int], list[int]]:
    return [prompt], [completion]


def rows_of(*texts: tuple[list[int], list[int]]) -> Rows:
    count = len(texts)
    return Rows(
        [list(prompt) for prompt, _ in texts],
        [list(completion) for _, completion in texts],
        [True] * count,
        [-1] * count,
        [str(index) for index in range(count)],
    )


def test_every_row_is_used_once_an_epoch(make_rows: MakeRows) -> None:
    plan = make_plan(make_rows(53), phase(epochs=2), seed=1)
    assert len(plan.batches) == 14
    for epoch in (plan.batches[:7], plan.batches[7:]):
        assert sorted(row for batch in epoch for row in batch.rows) == list(range(53))


def test_no_batch_is_a_small_left_over(make_rows: MakeRows) -> None:
    sizes = [len(batch.rows) for batch in make_plan(make_rows(33), phase(epochs=1), seed=0).batches]
    assert sum(sizes) == 33 and max(sizes) - min(sizes) <= 1 and max(sizes) <= 8


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_every_batch_holds_both_classes_in_the_share_of_the_data(make_rows: MakeRows, share: float) -> None:
    rows = make_rows(160, share=share)
    for batch in make_plan(rows, phase(epochs=2), seed=3).batches:
        assert abs(sum(rows.desirable[row] for row in batch.rows) - share * 8) <= 1


def test_a_plan_depends_on_its_arguments_alone_and_each_epoch_is_fresh(make_rows: MakeRows) -> None:
    rows = make_rows(48)
    first, again, other = (make_plan(rows, phase(epochs=2), seed) for seed in (5, 5, 6))
    assert first == again != other
    partner = [
        {row: other for batch in epoch for row, other in zip(batch.rows, batch.partners, strict=True)}
        for epoch in (first.batches[:6], first.batches[6:])
    ]
    assert sum(partner[0][row] == partner[1][row] for row in range(48)) < 12


def test_partners_are_a_permutation_of_the_batch_without_own_prompts_or_equal_completions(make_rows: MakeRows) -> None:
    rows = make_rows(48, paired=True)
    for batch in make_plan(rows, phase(epochs=3), seed=2).batches:
        assert sorted(batch.partners) == sorted(batch.rows)
        for row, partner in zip(batch.rows, batch.partners, strict=True):
            assert rows.prompts[row] != rows.prompts[partner]
            assert rows.completions[row] != rows.completions[partner]


def test_a_batch_full_of_one_refusal_gives_as_many_partners_as_there_can_be() -> None:
    rows = rows_of(*(one(prompt, 9) for prompt in range(5)), one(5, 7), one(6, 8))
    found = partners(rows, range(7), "seed")
    matched = [(row, other) for row, other in enumerate(found) if other != -1]
    assert len(matched) == 4  # two prompts of the other replies take refusals, two refusals take the other replies
    assert all(rows.completions[row] != rows.completions[other] for row, other in matched)
    assert len({other for _, other in matched}) == 4


def test_a_row_alone_has_no_partner() -> None:
    assert partners(rows_of(one(1, 2)), [0], "seed") == (-1,)


def test_a_hard_but_possible_matching_is_found() -> None:
    rows = rows_of(*(one(prompt, prompt) for prompt in (1, 1, 1, 2, 2, 2)))
    for seed in range(20):
        found = partners(rows, range(6), str(seed))
        assert all((row < 3) != (other < 3) for row, other in enumerate(found)) and sorted(found) == list(range(6))


def test_the_two_sides_of_a_pair_stay_together(make_rows: MakeRows) -> None:
    rows = make_rows(40, paired=True)
    plan = make_plan(rows, phase("dpo", epochs=1), seed=0)
    for batch in plan.batches:
        assert batch.partners == ()
        for chosen, rejected in zip(batch.rows[::2], batch.rows[1::2], strict=True):
            assert rows.pair[chosen] == rejected and rows.desirable[chosen]
    assert plan.rows == 40 and sum(len(batch.rows) for batch in plan.batches) == 40


def test_rows_that_an_objective_cannot_use_are_counted(make_rows: MakeRows) -> None:
    assert make_plan(make_rows(20), phase("sft"), 0).left_out == {"undesirable": 10}
    longest = max(make_rows(20).lengths)
    assert make_plan(make_rows(20), phase(max_length=longest - 1), 0).left_out["longer than max_length"] >= 1
    with pytest.raises(DataError, match="phase dpo: no row to train on .20 without a pair"):
        make_plan(make_rows(20), phase("dpo"), 0)


def test_pairs_that_are_unsafe_on_both_sides_are_left_out_where_a_safe_side_is_needed(make_rows: MakeRows) -> None:
    rows = make_rows(16, paired=True)
    with pytest.raises(DataError, match="phase safe_dpo: its rows do not say which completions are unsafe"):
        make_plan(rows, phase("safe_dpo"), 0)
    labelled = replace(rows, unsafe=[index in {0, 1, 3, 4} for index in range(16)])
    plan = make_plan(labelled, phase("safe_dpo", epochs=1), 0)
    assert plan.left_out == {"unsafe on both sides": 2} and plan.rows == 14
    assert make_plan(labelled, phase("bfpo"), 0).rows == 16


def test_steps_take_the_place_of_epochs(make_rows: MakeRows) -> None:
    assert len(make_plan(make_rows(16), phase(steps=5), 0).batches) == 5
    assert len(make_plan(make_rows(16), phase(epochs=0.5), 0).batches) == 1


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("budget", [1, 30, 100, 10_000])
def test_passes_hold_every_unit_once_and_every_process_has_as_many(world: int, budget: int) -> None:
    lengths = [7, 30, 12, 9, 25, 3, 18, 11, 2]
    units = [(index,) for index in range(9)]
    split = passes(units, lengths, budget, world)
    assert len({len(rank) for rank in split}) == 1 and len(split) == world
    assert sorted(unit for rank in split for pass_ in rank for unit in pass_) == units
    assert all(pass_ for rank in split for pass_ in rank)
    if budget == 100 or (budget == 30 and world == 1):
        assert all(sum(lengths[index] for (index,) in pass_) <= budget for rank in split for pass_ in rank)


def test_a_batch_smaller_than_the_number_of_processes_is_refused() -> None:
    with pytest.raises(DataError, match="raise batch_size"):
        passes([(0,)], [5], 10, world=2)


def test_rows_say_what_is_wrong_with_them() -> None:
    with pytest.raises(DataError, match="row a: its completion has no tokens"):
        Rows([[1]], [[]], [True], [-1], ["a"])
    with pytest.raises(DataError, match="pair must join one chosen and one rejected"):
        Rows([[1], [1]], [[2], [3]], [True, True], [1, 0], ["a", "b"])
    with pytest.raises(DataError, match="one entry per row"):
        Rows([[1]], [[2]], [True], [-1], [])


def test_options_of_the_objective_and_of_the_phase_stand_side_by_side() -> None:
    made = parse({"kto_s": {"beta": 0.5, "learning_rate": "5e-6"}}, "r.yaml: phases[1]")
    assert made.name == "kto_s" and made.objective.beta == 0.5 and made.learning_rate == 5e-6 and made.batch_size == 32


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kto_s": {"bta": 1, "learning_rate": 1}}, "no option 'bta'; did you mean 'beta'"),
        ({"sft": {"learning_rte": 1}}, "no option 'learning_rte'; did you mean 'learning_rate'"),
        ({"sft": None}, "learning_rate: field required"),
        ("sft", "learning_rate: field required"),
        ({"ktos": {"learning_rate": 1}}, "no objective 'ktos'; did you mean 'kto"),
        ({"sft": 3}, "expected options"),
        ([], "expected the name of one objective"),
    ],
)
def test_a_phase_that_is_not_one_names_its_cure(entry: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse(entry, "r.yaml: phases[0]")


def test_pairs_stay_together_beside_single_rows_and_every_batch_holds_its_share(make_rows: MakeRows) -> None:
    pairs, singles = make_rows(40, paired=True), make_rows(60, seed=1, share=0.9)
    rows = Rows(
        pairs.prompts + singles.prompts,
        pairs.completions + singles.completions,
        pairs.desirable + singles.desirable,
        pairs.pair + singles.pair,
        pairs.ids + singles.ids,
    )
    plan = make_plan(rows, phase(epochs=2, together=True), seed=0)
    half = len(plan.batches) // 2
    for epoch in (plan.batches[:half], plan.batches[half:]):
        assert sorted(row for batch in epoch for row in batch.rows) == list(range(100))
    for batch in plan.batches:
        assert 5 <= len(batch.rows) <= 8
        paired = [row for row in batch.rows if rows.pair[row] != -1]
        assert 2 <= len(paired) <= 4
        for chosen, rejected in zip(paired[::2], paired[1::2], strict=True):
            assert rows.pair[chosen] == rejected and batch.rows.index(rejected) == batch.rows.index(chosen) + 1
    assert make_plan(rows, phase("dpo", epochs=1), seed=0).left_out == {"without a pair": 60}


def test_the_order_of_rows_of_one_kind_is_what_it_was(make_rows: MakeRows) -> None:
    """A run that is resumed or repeated by a later version meets the same batches."""
    assert [batch.rows for batch in make_plan(make_rows(21, share=0.6), phase(epochs=1), seed=4).batches] == SINGLES
    assert [batch.rows for batch in make_plan(make_rows(14, paired=True), phase("dpo", epochs=1), seed=4).batches] == PAIRS
