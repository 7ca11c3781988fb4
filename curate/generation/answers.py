"""What a generator was answered, kept line by line: a build that is stopped, or run again, asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from curate.core.progress import Progress
from curate.core.schema import canonical
from curate.core.store import storage_error, write_text
from curate.generation.generator import Ask, Generator
from curate.raw.tombstones import Tombstones

FOLDER = "generated"  # in the work folder


@dataclass(frozen=True)
class AnswerLine:
    """A line of the file: the key of a question, the row and record that it is about, and what was answered."""

    ask: str
    row: str
    record: str
    texts: list[str]

    def to_json(self) -> str:
        """The line."""
        return canonical(asdict(self)) + "\n"


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
    known = {answer.ask: answer.texts for answer in _read(path)}
    left = list({ask.key: ask for ask in asks if ask.key not in known}.values())
    if left:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        try:
            with path.open("a", encoding="utf-8") as file, Progress(name, len(left), "questions") as progress:
                for ask, texts in generator.answers(left):
                    known[ask.key] = texts
                    file.write(AnswerLine(ask.key, ask.row, ask.record, texts).to_json())
                    file.flush()
                    progress.add(1)
        except OSError as error:
            raise storage_error(error, path) from error
    return {ask.key: known[ask.key] for ask in asks}


def forget_answers(work: Path, tombstones: Tombstones) -> None:
    """Take out what was made of a forgotten record, or repeats a forgotten text."""
    for path in sorted((work / FOLDER).glob("*.jsonl")):
        left = (
            answer
            for answer in _read(path)
            if tombstones.mark("record", answer.record) not in tombstones.records and not any(map(tombstones.knows, answer.texts))
        )
        write_text(path, "".join(answer.to_json() for answer in left))


def _read(path: Path) -> list[AnswerLine]:
    """Whole lines; what a kill cut short is left out."""
    answers = []
    if path.is_file():
        for line in path.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                answers.append(AnswerLine(entry["ask"], entry["row"], entry["record"], entry["texts"]))
            except (ValueError, KeyError, TypeError):
                continue
    return answers


def _mend(path: Path) -> None:
    """End a line that a kill cut short, so that the next one is whole."""
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
