"""What every stage puts out for one small input, by VERSION: behaviour that moves without its VERSION is caught here."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.core.contracts import CorpusStage, RowStage
from curate.core.schema import MESSAGE, canonical, digest
from curate.stages.table import STAGES

# stage -> (VERSION, hash of what it puts out). A new stage is one more line; a new VERSION is a new pair. The test prints it.
GOLDEN: dict[str, tuple[int, str]] = {
    "repair": (1, "f97445610a06090a"),
    "pii": (2, "87bb79512f92621d"),
    "language": (3, "887cd715940bfd67"),
    "length": (1, "a205049b8b822b5f"),
    "exact_duplicates": (2, "b46b27b6782acce6"),
    "repeated_completions": (1, "81fbeb40e9660da5"),
    "templates": (1, "c37ee628296b58f2"),
    "near_duplicates": (3, "71d437632269a02b"),
    "outliers": (1, "3c1a3781b0fa2dd0"),
    "undecided": (1, "3532c323866a2dcf"),
}

# Encoders differ in the last bits between processors, and what follows them with them: their own tests hold them to ranges.
NOT_BIT_EXACT = {"encode", "semantic_duplicates"}

PAIRS: list[tuple[str | None, str | None]] = [
    ("where to eat ah?", "The chicken rice at the corner is so shiok lah, confirm must try"),
    ("where to eat ah?", "the chicken rice at the corner is so  shiok lah, confirm must try"),
    ("where to eat ah?", "The chicken rice at the corner is so shiok leh, confirm must try"),
    ("how are you?", "I&amp;#x27;m fine, <b>thanks</b>! call me at 9123 4567 or tan@example.com"),
    ("my ic is S1234567D", "s1234567d or S1234567A? blk 123 Ang Mo Kio Ave 3 #04-56 S(560123)"),
    ("¿Qué tal?", "Mañana nos vemos en la oficina a las nueve."),
    (None, "今天 so tired 不想 go out already 你呢"),
    (None, "Saya tak tahu dia pergi mana pagi tadi."),
    ("apa khabar", "Kamu sudah makan malam belum, aku lapar banget nih."),
    (None, "k"),
    (None, "\u200b"),
    (None, None),
    ("hello", "👩\u200d👩\u200d👧 siaaaao liao ＷＯＷ â€™ @some_one https://example.com/x"),
    (None, "The library closes at nine on weekdays. " * 120),
]


def rows() -> pl.DataFrame:
    prompts = [[{"role": "user", "content": prompt}] if prompt else [] for prompt, _ in PAIRS]
    ids = [digest(str(index)) for index in range(len(PAIRS))]
    return pl.DataFrame(
        {"id": ids, "prompt": prompts, "completion": [text for _, text in PAIRS]}
        | {"score_head": [at / (len(PAIRS) - 1) for at in range(len(PAIRS))]}
        | {"vector": [[1.0, at / 8, (at % 3) / 4, -float(at == 5) * 16] for at in range(len(PAIRS))]}
        | {"toxic": None, "side": None, "kind": 0, "given": [float(index % 2) for index in range(len(PAIRS))], "votes": 1},
        schema={"id": pl.String, "prompt": pl.List(MESSAGE), "completion": pl.String, "toxic": pl.Boolean, "side": pl.String}
        | {"score_head": pl.Float32, "vector": pl.Array(pl.Float32, 4)}
        | {"kind": pl.UInt8, "given": pl.Float32, "votes": pl.UInt16},
    )


def put_out(stage: RowStage | CorpusStage) -> list[dict[str, Any]]:
    """All that a stage decides, numbers rounded to what every processor agrees on."""
    table = rows()
    if hasattr(stage, "keys"):
        keys = stage.keys(table.select(stage.reads))
        ranked = table.select(
            "id", pl.int_range(pl.len(), dtype=pl.UInt32).alias("rank"), "toxic", "kind", "given", "votes", "score_head"
        )
        result = stage.decide(stage.edges(keys.buckets, keys.payload.with_columns(ranked["rank", "toxic"])), ranked)
    else:
        result = stage(table.select(stage.reads))
    return result.with_columns(pl.col(pl.Float32, pl.Float64).round(4)).to_dicts()


@pytest.mark.parametrize("name", [name for name in STAGES if name not in NOT_BIT_EXACT])
def test_what_a_stage_puts_out_moves_only_with_its_version(name: str) -> None:
    stage = STAGES[name]()
    now = (stage.VERSION, digest(canonical(put_out(stage)), size=8))
    line = f'"{name}": {now},'.replace("'", '"')
    assert name in GOLDEN, f"{name} has no golden line yet; add: {line}"
    version, expected = GOLDEN[name]
    moved = f"what {name} puts out moved; if that is meant, give it VERSION {version + 1} and write: {line}"
    assert now == (version, expected), moved if now[0] == version else f"new VERSION; write: {line}"


def test_every_golden_line_names_a_stage() -> None:
    assert set(GOLDEN) | NOT_BIT_EXACT == set(STAGES)


def test_a_stage_that_behaves_otherwise_puts_out_otherwise() -> None:
    from curate.stages.length import Length

    assert put_out(Length()) != put_out(Length(max_chars=50))
