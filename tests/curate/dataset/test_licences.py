"""Licences: duties add up, and what cannot be met at once is said."""

from __future__ import annotations

import pytest

from curate.core.manifest import Obligations
from curate.dataset.licences import obligations


def test_free_licences_ask_for_nothing() -> None:
    assert obligations(["CC0-1.0"]) == Obligations([], [])


def test_attribution_is_asked_for_by_name() -> None:
    assert obligations(["MIT", "cc-by-4.0", "CC0-1.0"]) == Obligations(
        ["name the source and keep its notice (cc-by-4.0, MIT)"], []
    )


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], "forbids it"),
        (["cc-by-sa-4.0", "gpl-3.0"], "their own licence"),
        (["cc-by-nd-4.0"], "cleaned and cut"),
        (["Terms of the Forum"], "terms unknown"),
        ([""], "state no licence"),
    ],
)
def test_a_conflict_is_said_not_resolved(licences: list[str], said: str) -> None:
    assert any(said in line for line in obligations(licences).conflicts)


@pytest.mark.parametrize(
    "licences", [["cc-by-sa-3.0", "cc-by-sa-4.0"], ["cc-by-nc-sa-4.0", "cc-by-nc-4.0"], ["mit", "apache-2.0"]]
)
def test_licences_that_go_together_are_no_conflict(licences: list[str]) -> None:
    assert obligations(licences).conflicts == []
