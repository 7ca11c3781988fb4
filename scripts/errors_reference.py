"""Write docs/errors.md from the errors that the code raises; with --check, fail when the page is stale."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reference_page import write_or_check

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "errors.md"
PACKAGES = ("curate", "align")
GAP = "…"  # what a user's case puts there
SIGNALLED = 128  # exit codes from here on are those of signals
DEEPEST = 3  # names and calls followed from a message; further down nothing is worth reading

HEAD = """# Errors

Generated from the code by `make docs`; `make check` fails when it is stale.

A mistake that you can mend ends a command with one line that says where it is and what was found there, a second line with
what would do, and an exit code. Nothing else prints a traceback but a defect of ours: please report it.

```
Error: recipes/x.yaml: stages[2]: near_duplicates has no option 'treshold'
  hint: did you mean 'threshold'?
```

From Python the same errors are exceptions, all of them `curate.core.errors.UserError`: `error.problem`, `error.hint`,
`error.exit_code`.

## Exit codes

| code | class | meaning |
|---:|---|---|
| 0 | | done |
"""
SIGNALS = (
    "| 130 | | stopped by Ctrl-C; the same command goes on from there |\n"
    "| 143 | | stopped by SIGTERM; the same command goes on from there |\n"
)
BETWEEN = f"\nBelow, room by room, what each says. `{GAP}` stands for what your case puts there: a file, a name, a number.\n"


@dataclass(frozen=True)
class Kind:
    """A class of errors.

    Attributes:
        code: the exit code of a command that it ends.
        meaning: first line of its docstring.
    """

    code: int
    meaning: str


@dataclass(frozen=True)
class Entry:
    """One error: what it says, what would do, how the command exits."""

    message: str
    hint: str
    code: int


@dataclass(frozen=True)
class Module:
    """A file and what its names stand for."""

    path: Path
    tree: ast.Module

    def values(self, name: str) -> Iterator[ast.expr]:
        """What is assigned to a name anywhere in the file, or returned by the function of that name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign) and node.value is not None:
                for target in node.targets:
                    yield from _assigned(target, node.value, name)
            elif isinstance(node, ast.FunctionDef) and node.name == name:
                yield from (one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value is not None)


def _assigned(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            yield from _assigned(one, its, name)


def wordings(node: ast.expr | None, module: Module, depth: int = 0) -> list[str]:
    """What an expression may read, its placeholders as gaps; a name and a function are followed to what they hold."""
    if isinstance(node, ast.Constant):
        return [str(node.value)] if isinstance(node.value, str) else [""] if node.value is None else [GAP]
    if isinstance(node, ast.JoinedStr):
        parts = [wordings(part, module, depth)[0] if isinstance(part, ast.Constant) else GAP for part in node.values]
        return ["".join(parts)]
    if isinstance(node, ast.IfExp):
        return wordings(node.body, module, depth) + wordings(node.orelse, module, depth)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in wordings(value, module, depth)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in wordings(node.left, module, depth) for b in wordings(node.right, module, depth)]
    name = node.id if isinstance(node, ast.Name) else node.func.id if _is_plain_call(node) else None
    texts = (
        [text for value in module.values(name) for text in wordings(value, module, depth + 1)] if name and depth < DEEPEST else []
    )
    return list(dict.fromkeys(text for text in texts if text.strip(GAP + " ,:'\"()"))) or [GAP]


def _is_plain_call(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def kinds(modules: list[Module]) -> dict[str, Kind]:
    """Every class of errors that a user can act on, with its own exit code or the one of what it extends."""
    classes = [node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    known = {"UserError": Kind(1, "anything else that you can mend")}
    for _ in range(DEEPEST):  # a class below a class
        for node in classes:
            base = next((base.id for base in node.bases if isinstance(base, ast.Name) and base.id in known), None)
            if base is not None:
                meaning = (ast.get_docstring(node) or "").split("\n")[0].rstrip(".")
                known[node.name] = Kind(_code(node, known[base].code), meaning[:1].lower() + meaning[1:])
    return known


def _code(node: ast.ClassDef, inherited: int) -> int:
    codes = [
        line.value.value
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "exit_code"
        if isinstance(line.value, ast.Constant) and isinstance(line.value.value, int)
    ]
    return codes[0] if codes else inherited


def entries(module: Module, known: dict[str, Kind]) -> Iterator[Entry]:
    """Every error that a file makes, in its order."""
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if isinstance(call.func, ast.Name) and call.func.id in known and call.args:
            hint = next((keyword.value for keyword in call.keywords if keyword.arg == "hint"), None)
            hints = " / ".join(wordings(hint, module)) if hint is not None else ""
            for message in wordings(call.args[0], module):
                yield Entry(message, "" if hints == GAP else hints, known[call.func.id].code)


def reference() -> str:
    """The page."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    modules = [Module(path, ast.parse(path.read_text("utf-8"))) for path in paths]
    known = kinds(modules)
    rooms: dict[str, dict[Entry, list[Path]]] = defaultdict(dict)
    for module in modules:
        place = module.path.relative_to(ROOT)
        room = "/".join(place.parts[:2]) if len(place.parts) > 2 else place.parts[0]
        for entry in entries(module, known):
            if entry.message != GAP:
                rooms[room].setdefault(entry, []).append(place)
    ours = sorted((kind.code, name, kind.meaning) for name, kind in known.items() if kind.code < SIGNALLED)
    codes = "".join(f"| {code} | `{name}` | {meaning} |\n" for code, name, meaning in ours)
    pages = [HEAD + codes + SIGNALS + BETWEEN]
    for room, errors in rooms.items():
        pages.append(f"\n## {room}\n\n| error | hint | exit | raised in |\n|---|---|---:|---|\n")
        pages += [
            f"| {_cell(entry.message)} | {_cell(entry.hint)} | {entry.code} | {', '.join(map(_link, dict.fromkeys(places)))} |\n"
            for entry, places in errors.items()
        ]
    return "".join(pages)


def _cell(text: str) -> str:
    """Text as it may stand in a table."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").split())


def _link(place: Path) -> str:
    inner = "/".join(place.parts[2:]) or place.name
    return f"[{inner}](../{place.as_posix()})"


def main() -> int:
    """Write, or compare."""
    return write_or_check(TARGET, reference())


if __name__ == "__main__":
    sys.exit(main())
