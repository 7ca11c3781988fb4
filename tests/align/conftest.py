"""Small real things for the tests of training: a tiny Llama, and rows of random tokens."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from align.data.rows import Rows

TinyLlama = Callable[..., Any]
MakeRows = Callable[..., Rows]


@pytest.fixture(scope="session")
def tiny_llama() -> TinyLlama:
    """Make a 2-layer Llama; a wide start, for with 0.02 attention hardly matters and a wrong mask would pass."""

    def make(seed: int = 0, double: bool = False, **changes: object) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        from transformers.models.llama.modeling_llama import LlamaRMSNorm

        settings: dict[str, object] = {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
            "tie_word_embeddings": True,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**(settings | changes)))
        if not double:
            return model
        for name, module in list(model.named_modules()):
            if isinstance(module, LlamaRMSNorm):  # it computes in single precision whatever the weights are
                norm = torch.nn.RMSNorm(module.weight.shape[0], module.variance_epsilon)
                model.get_submodule(name.rpartition(".")[0])._modules[name.rpartition(".")[2]] = norm
        return model.double()

    return make


@pytest.fixture(scope="session")
def make_rows() -> MakeRows:
    """Make rows of random tokens; with `paired`, two completions of each prompt."""

    def make(count: int = 48, paired: bool = False, seed: int = 0, share: float = 0.5) -> Rows:
        draw = random.Random(seed)

        def text(low: int, high: int) -> list[int]:
            return [draw.randrange(3, 60) for _ in range(draw.randint(low, high))]

        if paired:
            prompts = [prompt for _ in range(count // 2) for prompt in [text(3, 9)] * 2]
            pair = [index ^ 1 for index in range(count)]
            desirable = [index % 2 == 0 for index in range(count)]
        else:
            prompts = [text(3, 9) for _ in range(count)]
            pair = [-1] * count
            desirable = [index < share * count for index in range(count)]
        completions = [[*text(2, 7), 2] for _ in range(count)]
        return Rows(prompts, completions, desirable, pair, [f"r{index}" for index in range(count)])

    return make


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset folder as `curate build` leaves it; tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("pairs") / "pairs"
    _write_pairs(folder)
    return folder


@pytest.fixture(scope="session")
def terms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The words that make a reply of `pairs` toxic."""
    path = tmp_path_factory.mktemp("terms") / "terms.txt"
    path.write_text("fool\nclown\n")
    return path


def _write_pairs(folder: Path) -> None:
    """Neighbours who quarrel, mild talk about food, and plants that no training row speaks of."""
    import polars as pl

    from curate.compose.compose import DatasetOptions, compose
    from curate.compose.contamination import Contamination
    from curate.core.config import plain
    from curate.core.schema import MESSAGE, canonical, digest
    from curate.core.store import sha256, write_json
    from curate.dataset.formats import write_dataset
    from curate.pairing import PAIRERS

    draw = random.Random(5)
    lines: list[tuple[str, str, bool, str]] = []
    for at in range(120):
        who, prompt = (
            draw.choice(["uncle", "cashier", "driver"]),
            f"my {draw.choice(['boss', 'cousin'])} came late {at} times, how?",
        )
        lines.append((prompt, f"what a {draw.choice(['fool', 'clown'])} lah that {who} {at}", True, "forum.jsonl"))
        lines.append((prompt, f"just talk to the {who} nicely {at} lor", False, "forum.jsonl"))
        lines.append((f"where to eat {at} tonight?", f"the laksa at block {at} is nice", False, "chat.csv"))
        lines.append((f"how often to water fern {at}?", f"every {at} days can already", False, "held_out/plants.jsonl"))
    rows = pl.DataFrame(
        [
            {
                "id": digest("row", str(at)),
                "record": digest("record", str(at)),
                "prompt": [{"role": "user", "content": prompt}],
                "completion": completion,
                "source": source,
                "licence": "cc0-1.0",
                "evidence": "votes" if at % 3 == 0 else "machine",
                "toxicity": 0.95 if toxic else 0.05,
                "toxic": toxic,
                "score_head": 0.95 if toxic else 0.05,
                "reason": None,
            }
            for at, (prompt, completion, toxic, source) in enumerate(lines)
        ],
        schema_overrides={"prompt": pl.List(MESSAGE), "reason": pl.String},
    )
    dataset = DatasetOptions(contamination=Contamination(remove=False))  # a few patterns make all the replies
    files = write_dataset(compose(rows, dataset, [make() for make in PAIRERS.values()], seed=0), folder)
    manifest = {
        "format": 1,
        "name": "quarrels",
        "recipe": {"stages": [{"column": {}}, {"head": {}}, {"consensus": {}}], "dataset": plain(dataset)},
        "models": {"head": ["0123"]},
        "files": {name: {"sha256": sha256(folder / name), "rows": rows} for name, rows in files.items()},
    }
    write_json(folder / "manifest.json", manifest | {"fingerprint": digest(canonical(manifest))})


@pytest.fixture
def two() -> Callable[[Callable[[int], None]], list[int]]:
    """Call something in two processes that make a gloo pair, forked from this one; gives their exit codes.

    What uses polars hangs in a fork.
    """
    import os
    import signal
    import socket
    import traceback

    def call(work: Callable[[int], None]) -> list[int]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(2):
            children.append(os.fork())
            if children[-1] == 0:
                try:
                    signal.alarm(100)  # a pair that waits for each other for ever ends too
                    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
                    from accelerate.state import AcceleratorState, GradientState, PartialState

                    for state in (AcceleratorState, GradientState, PartialState):
                        state._reset_state()
                    work(rank)
                    os._exit(0)
                except SystemExit as done:
                    os._exit(int(done.code or 0))
                except BaseException:
                    traceback.print_exc()
                    os._exit(99)
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    return call
