"""What else did the model lose? Tasks of the LM Evaluation Harness."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from align.data.figures import JsonObject, SuiteFigures
from align.evaluation.subject import Measured, Subject
from curate.core.config import config
from curate.core.errors import RecipeError


@config
class LmEval:
    """Run tasks of the harness (`pip install 'margins[lm-eval]'`) on the checkpoint as it lies in memory.

    Args:
        tasks: the harness's names.
        include_path: a folder with task files of your own.
        limit: rows of each task; none takes all.
        batch_size: rows in a forward pass.
    """

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    include_path: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 8
    VERSION: ClassVar[int] = 1

    def __call__(self, subject: Subject) -> Measured:
        """Figures: task -> metric -> value, as the harness names them, with its `_stderr`.

        Raises:
            RecipeError: the harness is not installed, or knows no such task.
        """
        try:
            from lm_eval import simple_evaluate
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager
        except ImportError:
            raise RecipeError("suite lm_eval: the harness is not installed", hint="pip install 'margins[lm-eval]'") from None
        manager = TaskManager(include_path=self.include_path)
        unknown = [task for task in self.tasks if task not in manager.all_tasks]
        if unknown:
            raise RecipeError(f"suite lm_eval: the harness knows no task {unknown[0]!r}", hint="`lm-eval ls tasks` lists them")
        wrapped = HFLM(pretrained=subject.model, tokenizer=subject.tokenizer, batch_size=self.batch_size)
        harness: JsonObject = simple_evaluate(
            model=wrapped,
            tasks=list(self.tasks),
            task_manager=manager,
            limit=self.limit,
            bootstrap_iters=0,
            random_seed=subject.seed,
            numpy_random_seed=subject.seed,
            torch_random_seed=subject.seed,
            fewshot_random_seed=subject.seed,
        )
        tasks = {
            task: {name.replace(",none", ""): value for name, value in figures.items() if isinstance(value, (int, float))}
            for task, figures in harness["results"].items()
        }
        return Measured(SuiteFigures(extras=tasks), [])
