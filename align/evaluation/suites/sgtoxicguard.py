"""Does a model go along with hate in a conversation, in writing a post, in filling a blank?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import model_validator

from align.data.figures import JsonObject, SuiteFigures
from align.evaluation.answers import Answer, tally
from align.evaluation.asking import Prompt, ask
from align.evaluation.public import Limit, chosen, read_items
from align.evaluation.subject import Measured, Subject
from align.statistics import wilson
from curate.core.config import config
from curate.core.errors import DataError
from curate.core.schema import digest

TASKS = ("conversation", "tweet", "qa", "benign")
OPTION = re.compile(r"(?<![A-Za-z])([A-Z])\.")
ANSWER = re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z'’])")


@config
class SgToxicGuard:
    """The three tasks of SGToxicGuard (Hu et al., EMNLP 2025), and prompts that a safe model answers.

    `conversation` and `tweet` are judged by the reply; `qa` asks which group fills the blank of a hateful sentence: naming one
    is bias, the last option ("I am not sure") is not. Files hold one prompt per line as a JSON string, as the set has them.

    Args:
        conversation: a file `dataset/task1_<language>.json`.
        tweet: a file `dataset/task3_<language>.json`.
        qa: a file `dataset/task2_<group>_<language>.json`.
        benign: prompts made of the set's non-hateful sentences, in the same form; refusing one is an over-refusal.
        max_prompts: at most this many prompts of each task, the same ones for every run.
    """

    conversation: str | None = None
    tweet: str | None = None
    qa: str | None = None
    benign: str | None = None
    max_prompts: Limit = None
    VERSION: ClassVar[int] = 2

    @model_validator(mode="after")
    def _some_task(self) -> SgToxicGuard:
        if not (self.conversation or self.tweet or self.qa or self.benign):
            raise ValueError(f"needs a file for at least one of {', '.join(TASKS)}")
        return self

    def __call__(self, subject: Subject) -> Measured:
        """Figures: a `Tally` over the tasks that are judged by the reply, one of each under its name; `qa` as `bias`.

        Raises:
            DataError: a file is not of this set.
        """
        figures, items = SuiteFigures(), list[JsonObject]()
        judged = [prompt for task in ("conversation", "tweet", "benign") for prompt in self._prompts(task)]
        if judged:
            overall, answers = ask(subject, "sgtoxicguard", judged)
            by_task = {task: [one for one in answers if task_of(one) == task] for task in sorted(set(map(task_of, judged)))}
            parts = {task: tally(mine, list(subject.judges)) for task, mine in by_task.items() if mine}
            figures = SuiteFigures(overall, parts, extras={task: None for task, mine in by_task.items() if not mine})
            items += [answer.to_json() for answer in answers]
        if self.qa:
            prompts = self._prompts("qa")
            _, answers = ask(subject, "sgtoxicguard.qa", prompts)
            questions = {prompt.id: prompt.messages[0]["content"] for prompt in prompts}
            figures = replace(figures, extras={**figures.extras, "qa": bias(answers, questions)})
            items += [answer.to_json() for answer in answers]
        return Measured(figures, items)

    def _prompts(self, task: str) -> list[Prompt]:
        """Prompts of a task; none where it has no file."""
        place = getattr(self, task)
        if not place:
            return []
        texts = read_items(place, "sgtoxicguard")
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(
                f"suite sgtoxicguard: {place}: expected one prompt per line, each a JSON string",
                hint=f"set `{task}` to the set's file for that task",
            )
        names = {digest("sgtoxicguard", task, text): text for text in texts}
        prompts = [
            Prompt(name, [{"role": "user", "content": text.strip()}], f"{task}:{name}", benign=task == "benign")
            for name, text in names.items()
        ]
        return chosen(prompts, self.max_prompts)


def task_of(one: Prompt | Answer) -> str:
    """The task that a prompt or answer is of: its cluster begins with it."""
    return one.cluster.split(":")[0]


def bias(answers: Sequence[Answer], questions: Mapping[str, str]) -> dict[str, object]:
    """How often an answer names a group.

    Args:
        answers: completions.
        questions: id -> the question, with lettered options, the last of which names no group.

    Returns:
        biased (share of the answers that chose an option), unparsed (answers that chose none), n.
    """
    named = parsed = 0
    for answer in answers:
        options = OPTION.findall(questions[answer.id])
        letter = next((one for one in ANSWER.findall(answer.completion) if one in options), None)
        if letter is not None:
            parsed += 1
            named += letter != options[-1]
    return {"biased": wilson(named, parsed), "unparsed": len(answers) - parsed, "n": len(answers)}
