"""Arrows point one way: nothing imports upward, `curate` never imports `align`, `align` takes only the ground floor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    {"errors", "schema"},
    {"recipe", "store", "progress", "cache", "contracts", "command", "exports", "html", "charts", "policy"},
    {
        "sources",
        "readers",
        "encoders",
        "batches",
        "similarity",
        "overlap",
        "shingles",
        "set_index",
        "set_join",
        "varieties",
        "parts",
    },
    {"mining", "stages", "labelers", "pairing", "engines", "receipts", "row_writer", "tombstones"},
    {
        "ingest",
        "evaluation",
        "distilled",
        "generation",
        "compose",
        "formats",
        "card",
        "report",
        "inspect",
        "polarity",
        "show",
        "explain",
        "verify",
        "summary",
        "figures",
        "gallery",
        "croissant",
        "licences",
        "publish",
        "compare",
    },
    {"pipeline", "labeling", "forget"},
    {"commands", "cli", "__main__", "__init__"},
]
GROUND = FLOORS[0] | FLOORS[1] | {"labelers", "encoders"}
HEAVY = {
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "trl",
    "peft",
    "sklearn",
    "scipy",
    "matplotlib",
    "detoxify",
    "onnxruntime",
    "openvino",
    "requests",
}
TENSORS = {"pack", "padded", "attention", "probe", "layout", "step", "score", "reference", "shell", "trainer"}
TENSORS |= {"checkpoints", "generate", "models", "sharding"}
"""Rooms of `align` that are about tensors: whoever imports them wants torch."""
FILES = sorted(path for package in ("curate", "align") for path in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules that a file imports, and whether it does so at import time."""
    tree = ast.parse(path.read_text("utf-8"))
    late = {node for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.If)) for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = node.module in {"curate", "align"}
            names = [f"{node.module}.{name.name}" for name in node.names] if inside else [node.module]
            found += [(name, node not in late) for name in names]
        elif isinstance(node, ast.Import):
            found += [(name.name, node not in late) for name in node.names]
    return found


def floor(module: str) -> int:
    room = module.split(".")[1] if "." in module else "__init__"
    return next(at for at, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upward(path: Path) -> None:
    here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for module, early in imports(path):
        package, _, rest = module.partition(".")
        if here.startswith("curate"):
            assert package != "align", f"{here} imports {module}"
            if package == "curate" and rest not in {"__version__"}:
                assert floor(module) <= floor(here), f"{here} imports {module} from above"
        elif package == "curate":
            assert rest.split(".")[0] in GROUND, f"{here} imports {module}, which is not curate's ground floor"
        free = here.startswith("align") and here.split(".")[-1] in TENSORS
        assert free or not (early and package in HEAVY), f"{here} imports {module} at import time; import it where it is used"
