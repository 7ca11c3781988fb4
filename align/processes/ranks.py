"""Which of a run's processes this is: one by itself, or one of those that `accelerate launch` or `torchrun` started.

All of them train; the main one alone locks, writes, evaluates and prints while the others wait. In a process by itself every
call here is its plain counterpart and imports nothing. What the processes tell each other (signals, results, failures) goes
through a gloo group of its own, so that no GPU is asked and nobody's patience runs out during a long evaluation.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from curate.core.command import print_error
from curate.core.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # how long a process waits for the main one: judging a large model takes hours
FAILED = "margins/failed"  # the key by which the first process that fails is known

_control: ProcessGroup | None = None
_first: bool | None = None


class Elsewhere(UserError):
    """Another process failed and says why; this one only ends."""

    def __init__(self) -> None:
        super().__init__("")


def count() -> int:
    """Processes of this run."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def index() -> int:
    """This process's number; 0 is the main one."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    return index() == 0


def hush() -> None:
    """Let the main process alone speak: the others print no result and no progress."""
    if not is_main():
        os.environ["TQDM_DISABLE"] = "1"
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes; when one of them fails, a broken connection is its failure and not one more.

    Raises:
        Elsewhere: another process failed.
    """
    if count() == 1:
        yield
        return
    import torch.distributed as dist

    try:
        _group()
        yield
    except RuntimeError as error:  # how a collective ends when the other side has gone
        if _store().check([FAILED]):
            raise Elsewhere from error
        raise
    with contextlib.suppress(RuntimeError):
        dist.barrier(_group())
        dist.destroy_process_group()


def on_main(work: Callable[[], T]) -> T:
    """Let the main process do something while the others wait; what it returns, all get.

    Args:
        work: returns plain values.

    Raises:
        Elsewhere: it failed, on the other processes; the main one has the error itself.
    """
    if count() == 1:
        return work()
    import torch.distributed as dist

    outcome: list[Any] = [None, False]  # its value, and whether there is one
    if is_main():
        try:
            outcome = [work(), True]
        except BaseException:
            _first_to_fail()
            with contextlib.suppress(RuntimeError):
                dist.broadcast_object_list(outcome, src=0, group=_group())
            raise
    dist.broadcast_object_list(outcome, src=0, group=_group())
    if not outcome[1]:
        raise Elsewhere
    value: T = outcome[0]
    return value


def main_first(work: Callable[[], T]) -> T:
    """Let the main process do something, then the others the same: they find in a cache what it has made.

    Raises:
        Elsewhere: it failed, on the other processes.
    """
    values: list[T] = []
    on_main(lambda: values.append(work()))
    return values[0] if values else work()


def together(work: Callable[[], T]) -> T:
    """Let every process do its share; none goes on where one has failed.

    Raises:
        Elsewhere: another process failed.
    """
    try:
        value = work()
    except UserError:
        _first_to_fail()  # before the others know, for one of them may keep the store
        any_of(True)
        raise
    if any_of(False):
        raise Elsewhere
    return value


def any_of(flag: bool) -> bool:
    """Whether it is true for any process; all must ask."""
    if count() == 1:
        return flag
    import torch
    import torch.distributed as dist

    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, op=dist.ReduceOp.MAX, group=_group())
    return bool(flags)


def tell(problem: str, hint: str | None = None) -> None:
    """Print an error and its hint, unless another process has said its own: one failure is said once."""
    if count() > 1:
        if not problem or not _first_to_fail():
            return
        problem = problem if is_main() else f"process {index()} of {count()}: {problem}"
    print_error(problem, hint)


def _first_to_fail() -> bool:
    """Whether no other process failed before this one; asked once."""
    global _first
    if _first is None:
        if _control is None:
            return is_main()  # before they have met all read the same files, and find the same
        try:
            _first = int(_store().add(FAILED, 1)) == 1
        except RuntimeError:
            _first = False  # whoever kept the store has gone, having spoken
    return _first


def _group() -> ProcessGroup:
    """The processes' own line to each other; made once, by all of them."""
    global _control
    if _control is None:
        import torch
        import torch.distributed as dist
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)  # sets this process's device too
        _control = dist.new_group(backend="gloo", timeout=PATIENCE)
    return _control


def _store() -> Store:
    """Torch's store, kept by the launcher."""
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()
