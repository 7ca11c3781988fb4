"""Hostile input: bounded memory and time, quarantined or left aside with a reason, never a crash, every record accounted for.

`MARGINS_TORTURE=1` runs the full sizes and counts and prints one line per promise.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curate.core.errors import RecipeError
from curate.pipeline.recipe import read_recipe
from curate.raw.ingest import Ingested, ingest
from curate.raw.sources import discover

TORTURE = os.environ.get("MARGINS_TORTURE", "0") == "1"
MOST_BYTES, MOST_SECONDS = 1 << 30, 60.0
RECIPE = "stages: [repair, pii, length, column, consensus: {labelers: [column]}]\npairing: [given]\n"
GOOD = [{"prompt": f"question {at}?", "completion": f"ordinary reply number {at} lah", "is_toxic": at % 2} for at in range(20)]
LINES = "".join(json.dumps(entry) + "\n" for entry in GOOD).encode()


def told(line: str) -> None:
    if TORTURE:
        sys.__stdout__.write(f"{line}\n")


def size(full: int, fast: int) -> int:
    return full if TORTURE else fast


MEASURED = """
import re, sys
from pathlib import Path
from curate.commands.cli import main
peak, sys.argv = Path(sys.argv[1]), ["curate", *sys.argv[2:]]
try:
    main()
finally:
    peak.write_text(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
"""Runs `curate` and writes down the most memory it held, in KiB; what a parent tells of its child counts the parent in."""


# --- one file each; what is said of it must hold one of these words ---


def gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(LINES)
        for _ in range(size(4096, 288)):
            file.write(bytes(1 << 20))


def zstd_bomb(path: Path) -> None:
    with path.open("wb") as raw, zstandard.ZstdCompressor(level=3).stream_writer(raw) as file:
        file.write(LINES)
        for _ in range(size(4096, 288)):
            file.write(b" " * (1 << 20))


def long_line(path: Path) -> None:
    """Sparse: it takes no room on the disk."""
    with path.open("wb") as file:
        file.write(LINES)
        file.truncate(len(LINES) + size(10**9, 10**8))


def deep_line(path: Path) -> None:
    depth = 10**6
    path.write_bytes(LINES + b'{"text": ' + b"[" * depth + b"]" * depth + b"}\n" + b'{"a":' * depth + b"1" + b"}" * depth + b"\n")


def deep_array(path: Path) -> None:
    path.write_bytes(b'[{"text": "one ordinary text of some words"},' + b"[" * 10**6 + b"]" * 10**6 + b"]")


def deep_object(path: Path) -> None:
    path.write_bytes(b'{"a":' * 10**6 + b"1" + b"}" * 10**6)


def wide_field(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"text,is_toxic\nan ordinary text of some words,0\n")
        for _ in range(size(100, 20)):
            file.write(b"x" * (1 << 20))
        file.write(b',1\n"')
        for _ in range(size(100, 20)):
            file.write(b"y" * (1 << 20))
        file.write(b'",1\nanother ordinary text of some words,1\n')


def nuls(path: Path) -> None:
    path.write_bytes(
        LINES + b'{"completion": "a\x00b", "prompt": "c"}\n{"completion": "a\\u0000b", "prompt": "c"}\n' + b"\x00" * 4096 + b"\n"
    )


def endless_quote(path: Path) -> None:
    path.write_bytes(b'text,is_toxic\n"never closed,0\n' + b"an ordinary text of some words,1\n" * size(20_000, 5_000))


def parquet_bomb(path: Path) -> None:
    """One value of many bytes, repeated: the dictionary makes it small on disk."""
    value = "z" * (8 << 20)
    table = pa.table({"text": pa.DictionaryArray.from_arrays([0] * size(300, 70), [value])})
    pq.write_table(table, path, compression="zstd")


def escaping_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name in ("../escaped.jsonl", "/tmp/escaped.jsonl", "a/../../escaped.jsonl", "fine.jsonl"):
            file.writestr(name, LINES)
        link = zipfile.ZipInfo("link.jsonl")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")


HOSTILE: dict[str, Callable[[Path], None]] = {
    "bomb.jsonl.gz": gzip_bomb,
    "bomb.jsonl.zst": zstd_bomb,
    "long.jsonl": long_line,
    "deep.jsonl": deep_line,
    "deep_array.json": deep_array,
    "deep_object.json": deep_object,
    "wide.csv": wide_field,
    "nuls.jsonl": nuls,
    "quote.csv": endless_quote,
    "bomb.parquet": parquet_bomb,
    "escape.zip": escaping_zip,
}
RECOVERED = {"quote.csv"}  # nothing in it is broken once its quotes are taken for characters
MAGIC = 4  # bytes that show a format; the one "P" that may be left of a Parquet file is a text like any other
GROUPS = [[name] for name in HOSTILE] if TORTURE else [list(HOSTILE)]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0] if len(names) == 1 else "all")
def test_hostile_files_take_bounded_memory_and_time_and_are_accounted_for(tmp_path: Path, names: list[str]) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "good.jsonl").write_bytes(LINES)
    for name in names:
        HOSTILE[name](raw / name)
    (raw / "link.jsonl").symlink_to("/etc/passwd")
    (raw / "folder").symlink_to("/etc")
    os.mkfifo(raw / "pipe.jsonl")
    (raw / "..").joinpath("raw", "..two dots.jsonl").write_bytes(LINES)
    (tmp_path / "recipe.yaml").write_text(RECIPE + "quarantine_limit: 1.0\n")
    started = time.monotonic()
    arguments = ["build", "--source", raw, "--out", tmp_path / "out", "--recipe", tmp_path / "recipe.yaml"]
    child = subprocess.run(
        [sys.executable, "-c", MEASURED, tmp_path / "peak", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    seconds = time.monotonic() - started
    assert child.returncode == 0, child.stderr.decode()[-2000:]
    most = int((tmp_path / "peak").read_text()) << 10
    assert most <= MOST_BYTES and seconds <= MOST_SECONDS * len(names), f"{most >> 20} MiB, {seconds:.1f} s"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    told(f"{', '.join(names)}: {most >> 20} MiB, {seconds:.1f} s")
    check_laws(manifest)
    aside = {entry["name"]: entry["reason"] for entry in manifest["left_aside"]}
    assert aside["link.jsonl"] == aside["folder"] == "symlink" and aside["pipe.jsonl"] == "not_a_file"
    spoken = {one["source"] for one in manifest["sources"] if one["quarantined"]} | set(aside)
    silent = [name for name in names if not any(said.startswith(name) for said in spoken)]
    assert set(silent) <= RECOVERED
    assert b"root:" not in b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet"))
    assert not Path("/tmp/escaped.jsonl").exists() and not (tmp_path / "escaped.jsonl").exists()


def check_laws(manifest: dict[str, Any]) -> None:
    for one in manifest["sources"]:
        assert one["records"] == one["mined"] + sum(one["skipped"].values()) + sum(one["quarantined"].values()), one["source"]
    rows = manifest["records"]["rows"]
    for stage in manifest["stages"]:
        assert stage["rows_in"] == rows == stage["kept"] + sum(stage["dropped"].values())
        rows = stage["kept"]


def bomb_of_aliases() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{chr(at)}: &{chr(at)} [{', '.join([f'*{chr(at - 1)}'] * 9)}]" for at in range(ord("b"), ord("n"))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "stages: " + "[" * 100_000,
        "stages: " + "[" * 5_000 + "]" * 5_000,
        "a:\n" + "".join(" " * at + "a:\n" for at in range(1, 1_500)),
        bomb_of_aliases(),
        bomb_of_aliases() + "\nstages: [repair: *m]\npairing: [given]\n",
        bomb_of_aliases() + "\nname: *m\n" + RECIPE,
        "stages: &a [*a]\npairing: [given]\n",
        "stages: !!python/object/apply:os.system ['true']\n",
        "\x00stages: [pii]",
        "stages: [pii]\nname: \ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
    ids=["open", "nested", "indented", "aliases", "aliases_in_options", "aliases_in_name", "loop", "object", "nul", "surrogate"],
)
def test_hostile_recipes_are_refused_in_one_line_and_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    started = time.process_time()
    with pytest.raises(RecipeError) as refused:
        read_recipe(tmp_path / "recipe.yaml")
    assert time.process_time() - started < 10
    assert len(str(refused.value)) < 1_000


# --- damage: cut short anywhere, one bit flipped anywhere ---


def small(kind: str) -> bytes:
    data = io.BytesIO()
    if kind == "jsonl.gz":
        return gzip.compress(LINES, mtime=0)
    if kind == "jsonl.zst":
        return zstandard.ZstdCompressor(write_checksum=True).compress(LINES)
    pq.write_table(pa.Table.from_pylist(GOOD), data, write_page_checksum=True, compression="zstd")
    return data.getvalue()


def read_all(folder: Path, files: dict[str, bytes]) -> Ingested:
    raw = folder / "raw"
    raw.mkdir()
    for name, data in files.items():
        (raw / name).write_bytes(data)
    return ingest(discover(raw), work=folder / "work", author_key=b"key", quarantine_limit=1.0)


def silent(found: Ingested, files: dict[str, bytes]) -> list[str]:
    """Damaged files that were read otherwise than the whole one, with nothing quarantined and no word said."""
    right = {entry["completion"] for entry in GOOD}
    spoken = {entry.name for entry in found.aside}
    wrong = []
    at = 0
    for report in found.files:
        assert report.records == report.mined + sum(report.skipped.values()) + sum(report.quarantined.values())
        rows = pl.concat([part.read() for part in found.parts[at : at + len(report.parts)]]) if report.parts else None
        at += len(report.parts)
        texts = set(rows["completion"]) if rows is not None else set()
        if texts != right and not report.quarantined and not report.skipped:
            wrong.append(report.source)
        spoken.add(report.source)
    assert spoken == set(files)
    return wrong


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_cut_short_anywhere_is_never_taken_for_a_whole_one(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    data = small(kind)
    step = 1 if TORTURE else max(1, len(data) // 60)
    files = {f"{cut:05d}.{kind}": data[:cut] for cut in range(MAGIC, len(data), step)}
    assert silent(read_all(tmp_path, files), files) == []
    told(f"{kind}: {len(files)} truncations, 0 taken for whole")


@pytest.mark.parametrize("kind", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_flipped_bit_is_not_read_in_silence(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    data, draw = small(kind), random.Random(9)
    files = {}
    for at in range(size(2_000, 60)):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        files[f"{at:05d}.{kind}"] = bytes(damaged)
    wrong = silent(read_all(tmp_path, files), files)
    told(f"{kind}: {len(files)} bit flips, {len(wrong)} read otherwise in silence")
    assert wrong == []
