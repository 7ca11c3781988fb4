"""The join of sets, against all pairs measured one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.similarity.measures import U64, Rows, Sets, jaccard
from curate.text.similarity.set_index import index
from curate.text.similarity.set_join import components, glued, likeness, pairs
from curate.text.similarity.shingles import Members, SetSource, Texts, sets

texts = st.lists(st.text(alphabet="ab c", max_size=24), min_size=2, max_size=25)
Pairs = dict[tuple[int, int], float]


def of(many: list[str]) -> Texts:
    return Texts(pl.Series(many, dtype=pl.String))


def every(source: SetSource, floor: float, kinds: np.ndarray) -> Pairs:
    """All pairs of sets that are not empty, of one kind, at or above the floor."""
    count = len(source.lengths)
    a, b = (each.astype(np.int64) for each in np.triu_indices(count, 1))
    compared = (source.lengths[a] > 0) & (source.lengths[b] > 0) & (kinds[a] == kinds[b])
    score = jaccard(sets(source, np.arange(count)), a, b)
    near = compared & (score >= floor)
    return dict(zip(zip(a[near].tolist(), b[near].tolist(), strict=True), score[near].tolist(), strict=True))


def joined(source: SetSource, floor: float, kinds: np.ndarray, old: np.ndarray | None = None, rows: Rows | None = None) -> Pairs:
    whole = index(source, kinds, 0.4 * floor if rows is not None else floor)
    found = pairs(whole if rows is None else whole.of(rows, floor), old)
    assert found is not None
    a, b, score = (each.tolist() for each in found)
    assert list(zip(a, b, strict=True)) == sorted(set(zip(a, b, strict=True)))
    return dict(zip(zip(a, b, strict=True), score, strict=True))


@given(texts, st.sampled_from([0.05, 0.3, 0.5, 0.65, 0.8, 0.9, 1.0]))
@settings(max_examples=150, deadline=None)
def test_the_join_finds_every_pair_from_the_floor_on_and_no_other(many: list[str], floor: float) -> None:
    source, kinds = of(many), np.zeros(len(many), np.uint64)
    assert joined(source, floor, kinds) == every(source, floor, kinds)


@given(texts, st.data())
@settings(max_examples=60, deadline=None)
def test_only_rows_of_one_kind_only_old_with_new_and_only_some_rows_are_compared(many: list[str], data: st.DataObject) -> None:
    source = of(many)
    kinds = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(many), max_size=len(many))), np.uint64) << np.uint64(60)
    old = np.array(data.draw(st.lists(st.booleans(), min_size=len(many), max_size=len(many))))
    wanted = every(source, 0.5, kinds)
    assert joined(source, 0.5, kinds) == wanted
    assert joined(source, 0.5, kinds, old) == {(a, b): score for (a, b), score in wanted.items() if old[a] != old[b]}
    some = np.flatnonzero(old)
    assert joined(source, 0.5, kinds, rows=some) == {(a, b): score for (a, b), score in wanted.items() if old[a] and old[b]}


@dataclass(frozen=True)
class Listed:
    """Sets that are there."""

    sets: Sets

    @property
    def lengths(self) -> Rows:
        return self.sets.sizes

    def read(self, rows: Rows) -> Members:
        starts, sizes = self.sets.starts[rows], self.sets.sizes[rows]

        def table(start: int, stop: int) -> U64:
            places = starts[start:stop, None] + np.arange(sizes[start:stop].max(initial=0))
            return self.sets.values.take(places, mode="clip")

        return table


def listed(members: list[np.ndarray]) -> Listed:
    starts = np.concatenate([[0], np.cumsum([len(each) for each in members])])
    return Listed(Sets(np.concatenate(members).astype(np.uint64), starts))


def test_long_sets_and_more_sets_than_one_block_are_joined_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.text.similarity.shingles.TABLE", 5000)
    monkeypatch.setattr("curate.text.similarity.set_index.ENTRIES", 2000)
    monkeypatch.setattr("curate.text.similarity.set_join.ENTRIES", 2000)
    monkeypatch.setattr("curate.text.similarity.set_join.LOOKED", 500)
    monkeypatch.setattr("curate.text.similarity.set_join.MEASURED", 50)
    random = np.random.default_rng(0)
    members = [np.unique(random.integers(0, 400, random.integers(1, 1200))) for _ in range(80)]
    members += [
        np.unique(np.where(random.random(len(each)) < 0.1, random.integers(0, 1 << 47, len(each)), each)) for each in members
    ]
    source, kinds = listed(members), np.zeros(len(members), np.uint64)
    wanted = every(source, 0.7, kinds)
    assert len(wanted) > 80 and joined(source, 0.7, kinds) == wanted
    assert joined(source, 0.7, kinds, rows=np.arange(len(members))) == wanted


def test_sets_that_share_only_the_bits_that_an_index_keeps_are_not_alike() -> None:
    low = np.arange(1000, 1040)
    source = listed([low, low ^ 1])  # apart in their last bit alone
    assert joined(source, 0.5, np.zeros(2, np.uint64)) == every(source, 0.5, np.zeros(2, np.uint64))


@given(texts, st.sampled_from([0.3, 0.8]))
@settings(max_examples=40, deadline=None)
def test_a_likeness_is_exact_from_the_floor_on(many: list[str], floor: float) -> None:
    source, count = of(many), len(many)
    a, b = np.triu_indices(count, 1)
    exact = jaccard(sets(source, np.arange(count)), a, b)
    sizes = sets(source, np.arange(count)).sizes
    assert likeness(source, sizes, a, b, floor).tolist() == np.where(exact >= floor, exact, 0).tolist()


def test_a_join_gives_up_at_its_limit() -> None:
    crowd = of([f"{at:05d} the same words again and again" for at in range(50)])
    whole = index(crowd, np.zeros(50, np.uint64), 0.5)
    assert pairs(whole, limit=1000) is None and pairs(whole) is not None


@given(texts)
@settings(max_examples=40, deadline=None)
def test_like_sets_are_in_one_group_also_where_they_are_not_measured(many: list[str]) -> None:
    whole = index(of(many), np.zeros(len(many), np.uint64), 0.5)
    measured = glued(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.text.similarity.set_join.many", lambda *_: 0)
        unmeasured = glued(whole)
    wanted = every(whole.source, 0.5, np.zeros(len(many), np.uint64))
    for group in (measured, unmeasured):
        assert all(group[a] == group[b] for a, b in wanted)
    ends = np.array(list(wanted), np.int64).reshape(-1, 2)
    assert (measured == components(ends[:, 0], ends[:, 1], len(many))).all()


def test_components_are_named_by_their_least_row() -> None:
    assert components(np.array([4, 1, 5]), np.array([5, 3, 3]), 7).tolist() == [0, 1, 2, 1, 1, 1, 6]
