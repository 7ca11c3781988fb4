"""The report in a real browser, where there is one: it draws, it runs nothing, it asks for nothing."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from curate.core.manifest import from_json
from curate.dataset.figures import figures
from curate.dataset.report import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking --window-size=1100,1800".split()
PAYLOADS = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    '"><svg onload="document.title=\'ran\'">',
    "</style><script>document.title='ran'</script>",
    "&lt;b&gt;\u202e\x1b[31m",
)


def browse(page: Path, tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[bytes]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, timeout=120, check=True)


def test_the_report_draws_and_what_a_name_smuggles_in_does_not_run(
    dataset_folder: Path, manifest: dict[str, Any], tmp_path: Path
) -> None:
    other = copy.deepcopy(manifest)
    for payload, source in zip(PAYLOADS, other["sources"] * len(PAYLOADS), strict=False):
        other["sources"].append(source | {"source": payload})
        other["warnings"].append(payload)
    page = tmp_path / "report.html"
    page.write_text(report(from_json(other), figures(dataset_folder, from_json(manifest))), "utf-8")
    shot = tmp_path / "report.png"
    browse(page, tmp_path, f"--screenshot={shot}")
    assert shot.stat().st_size > 20_000  # an empty page of this size has about 5,000 bytes
    shown = browse(page, tmp_path, "--dump-dom").stdout.decode("utf-8")
    title = re.search(r"<title>(.*?)</title>", shown)
    assert title and title[1] == f"{manifest['name']}: how this dataset was made"
    assert shown.count("<svg") == page.read_text("utf-8").count("<svg") > 5
    assert "<script" not in shown and "<img" not in shown
