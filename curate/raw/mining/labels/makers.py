"""The forms in which tools for annotation, and one family of sets, write what people decided: `MAKERS` is the whole list.

Each form finds the questions that a table asks, and gives what every person answered to one, in words or values that the
policy reads. Who did not hand in an answer has none.
"""

from __future__ import annotations

from curate.raw.mining.labels import argilla, ballots, jigsaw, label_studio, prodigy
from curate.raw.mining.labels.question import Maker, Question

MAKERS: dict[str, Maker] = {
    "argilla": Maker(argilla.questions, argilla.answers),
    "label_studio": Maker(label_studio.questions, label_studio.answers),
    "prodigy": Maker(prodigy.questions, prodigy.answers),
    "ballots": Maker(ballots.questions, ballots.answers),
    "jigsaw": Maker(jigsaw.questions, jigsaw.answers),
}
"""Name -> how a form is found and read; the first that finds a question has the table."""

__all__ = ["MAKERS", "Maker", "Question"]
