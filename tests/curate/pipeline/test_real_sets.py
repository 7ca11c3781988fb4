"""Real input, not only ours: the default recipe runs through the public sets, to the last stage, and its laws hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.core.shipped import bundled
from curate.dataset.verify import verify
from curate.pipeline.build import build
from curate.pipeline.recipe import read_recipe

SETS = ("nus_sms_dev", "davidson_tweets_dev", "diasafety_dev", "paradetox_dev", "messy_dump_dev")
LIMIT = 400  # records; `make bench-sources` takes the sets whole


@pytest.mark.parametrize("name", SETS)
def test_a_real_set_runs_through(name: str, shared: Path, tmp_path: Path) -> None:
    manifest = build(shared / name, tmp_path / "out", read_recipe(bundled("singlish")), limit=LIMIT).manifest
    records = manifest.records
    assert records.read == records.mined + sum(records.skipped.values()) + records.quarantined
    assert records.mined > 0.9 * records.read
    assert verify(tmp_path / "out") == []
