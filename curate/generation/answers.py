"""What a generator was answered, kept line by line: a build that is stopped, or run again, asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.core.progress import Progress
from curate.core.schema import canonical
from curate.core.store import storage_error, write_text
from curate.generation.generator import Ask, Generator
from curate.raw.tombstones import Tombstones

FOLDER = "generated"  # in the work folder


def answers_of(name: str, generator: Generator, key: str, asks: Sequence[Ask], work: Path) -> dict[str, list[str]]:
    """Key of each question -> its answers; those that are not known yet are asked for and kept as they come.

    Args:
        name: the generator's recipe word.
        generator: its config.
        key: hash of all that decides what it says to a question.
        asks: the questions.
        work: the work folder.

    Raises:
        StorageError: the disk will not take an answer.
    """
    path = work / FOLDER / f"{name}-{key}.jsonl"
    known = {line["ask"]: line["texts"] for line in _lines(path)}
    left = list({ask.key: ask for ask in asks if ask.key not in known}.values())
    if left:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        try:
            with path.open("a", encoding="utf-8") as file, Progress(name, len(left), "questions") as progress:
                for ask, texts in generator.answers(left):
                    known[ask.key] = texts
                    file.write(canonical({"ask": ask.key, "row": ask.row, "record": ask.record, "texts": texts}) + "\n")
                    file.flush()
                    progress.add(1)
        except OSError as error:
            raise storage_error(error, path) from error
    return {ask.key: known[ask.key] for ask in asks}


def forget_answers(work: Path, tombstones: Tombstones) -> None:
    """Take out what was made of a forgotten record, or repeats a forgotten text."""
    for path in sorted((work / FOLDER).glob("*.jsonl")):
        lines = _lines(path)
        left = [
            line
            for line in lines
            if tombstones.mark("record", line["record"]) not in tombstones.records
            and not any(map(tombstones.knows, line["texts"]))
        ]
        write_text(path, "".join(canonical(line) + "\n" for line in left))


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines; what a kill cut short is left out."""
    found = []
    if path.is_file():
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                said = json.loads(line)
                found.append({name: said[name] for name in ("ask", "row", "record", "texts")})
            except (ValueError, KeyError, TypeError):
                continue
    return found


def _mend(path: Path) -> None:
    """End a line that a kill cut short, so that the next one is whole."""
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
