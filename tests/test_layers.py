"""The house: arrows point down in both packages, nothing turns in a circle, and no folder or file grows beyond a page."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "curate": [
        "core pages",
        "varieties",
        "text",
        "raw stages labelers pairing",
        "compose generation",
        "dataset",
        "pipeline",
        "commands",
    ],
    "align": [
        "statistics",
        "data objectives processes",
        "models report",
        "training evaluation",
        "pipeline bench",
        "ablation",
        "commands",
    ],
}
"""Rooms from the ground up: a room imports what stands below it, and its own."""
GROUND = {"core", "pages", "text", "varieties", "labelers"}
"""Rooms of `curate` that `align` may enter."""
HEAVY = set("torch transformers sentence_transformers datasets trl peft sklearn scipy matplotlib detoxify".split())
HEAVY |= set("onnxruntime openvino requests faiss openpyxl".split())
TENSORS = ("align.training.", "align.models.", "align.bench.", "align.processes.sharding")
"""About tensors: whoever imports them wants torch."""
MOST_ENTRIES, MOST_LINES = 13, 400

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in FLOORS
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(module: str) -> Iterator[tuple[str, bool]]:
    """What a module imports, down to the file where it is ours, and whether it does so at import time."""
    tree = ast.parse(FILES[module].read_text("utf-8"))
    late = {node for block in ast.walk(tree) if isinstance(block, ast.FunctionDef | ast.If) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{one.name}" for one in node.names]
            yield from ((name if name in FILES else node.module, node not in late) for name in names)
        elif isinstance(node, ast.Import):
            yield from ((one.name, node not in late) for one in node.names)


def floor(module: str) -> int:
    """How high a module's room lies; the package's own face lies above all rooms."""
    package, _, rest = module.partition(".")
    room = rest.split(".")[0]
    return next((at for at, rooms in enumerate(FLOORS[package]) if room in rooms.split()), len(FLOORS[package]))


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", FILES)
def test_arrows_point_down_and_heavy_imports_wait(module: str) -> None:
    own = module.split(".")[0]
    for name, early in imports(module):
        package = name.split(".")[0]
        if package == own and room(name) not in (room(module), own):
            assert floor(name) < floor(module), f"{module} imports {name}, which does not lie below it"
        elif package in FLOORS and package != own:
            assert own == "align", f"{module} imports {name}: curate never imports align"
            assert name.split(".")[1] in GROUND, f"{module} imports {name}, which is not curate's ground floor"
        heavy = early and package in HEAVY and not module.startswith(TENSORS)
        assert not heavy, f"{module} imports {name} at import time; import it where it is used"


@pytest.mark.parametrize("package", FLOORS)
def test_no_circle(package: str) -> None:
    own = [module for module in FILES if module.split(".")[0] == package]
    graph = {module: {name for name, _ in imports(module) if name in FILES and name != module} for module in own}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(own)


def test_no_folder_and_no_file_grows_beyond_a_page() -> None:
    for folder in {path.parent for path in FILES.values()}:
        entries = [one for one in folder.iterdir() if not one.name.startswith("__") and one.name != "py.typed"]
        assert len(entries) <= MOST_ENTRIES, f"{folder.relative_to(ROOT)}: {len(entries)} entries"
    for path in FILES.values():
        assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES, path
