"""What the terminal says after a build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.core.manifest import from_json
from curate.dataset.look.summary import summary


@pytest.mark.parametrize(("folder", "command"), [("pairs", "kto_s`"), ("other/set", "kto_s --set data=other/set`")])
def test_the_last_line_trains_on_the_folder_that_was_built(manifest: dict[str, Any], folder: str, command: str) -> None:
    assert summary(from_json(manifest), Path(folder)).splitlines()[-1].endswith(f"`align run {command}")


def test_every_count_of_records_and_outputs_is_there(manifest: dict[str, Any]) -> None:
    text = summary(from_json(manifest), Path("pairs"))
    numbers = [manifest["records"]["read"], manifest["records"]["mined"], *manifest["dataset"]["paired"].values()]
    assert all(f"{number:,}" in text for number in numbers)
    assert text.splitlines()[0] == f"pairs: built from {len(manifest['sources'])} files"
    assert "nothing to do" in summary(from_json(manifest), Path("pairs"), unchanged=True).splitlines()[0]
