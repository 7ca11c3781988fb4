"""The same task with other tools, each as its own documentation recommends for it; runs in their environment, not in ours.

    python benchmarks/duplicates_peers.py PEER TEXTS.json DROPPED.json

Texts are compared by character 5-grams where a tool takes tokens or a tokenizer from outside; text-dedup has words only, and
is given its own default of 5 words. Case and spacing are levelled for all that do not do so themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

THRESHOLD = 0.8
PERMUTATIONS = 128


def grams(text: str) -> set[str]:
    """Character 5-grams of a text."""
    text = " ".join(text.casefold().split())
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def rensa(texts: list[str]) -> list[int]:
    """Its README, "Keep unique documents"."""
    from rensa import RMinHashDeduplicator

    dedup = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True)
    keep = dedup.add_pairs((str(row), grams(text)) for row, text in enumerate(texts))
    return [row for row, kept in enumerate(keep) if not kept]


def rensa_batch(texts: list[str]) -> list[int]:
    """Its batch calls, the fastest it has: flags every row that shares a band with another, so the copied rows too."""
    from rensa import RMinHash, RMinHashLSH

    matrix = RMinHash.digest_matrix_from_token_sets([grams(text) for text in texts], PERMUTATIONS, 42)
    flags = RMinHashLSH(THRESHOLD, PERMUTATIONS, 16).insert_matrix_and_query_duplicate_flags(matrix)
    return [row for row, flag in enumerate(flags) if flag]


def datasketch(texts: list[str]) -> list[int]:
    """Its documentation, "MinHash LSH": query before insertion."""
    from datasketch import MinHash, MinHashLSH

    index, dropped = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS), []
    encoded = ([gram.encode() for gram in grams(text)] for text in texts)
    for row, minhash in enumerate(MinHash.generator(encoded, num_perm=PERMUTATIONS)):
        if index.query(minhash):
            dropped.append(row)
        else:
            index.insert(row, minhash)
    return dropped


def semhash(texts: list[str]) -> list[int]:
    """Its README, with an encoder of our own: no model at hand knows Jaccard, so vectors count 5-grams; cosine .889 for .8."""
    import zlib

    import numpy as np
    from semhash import SemHash

    class Grams:
        def encode(self, inputs: list[str], **_: object) -> np.ndarray:
            vectors = np.zeros((len(inputs), 256), np.float32)
            for row, text in enumerate(inputs):
                vectors[row, [zlib.crc32(gram.encode()) & 255 for gram in grams(text)]] = 1
            return vectors

    records = [{"row": str(row), "text": text} for row, text in enumerate(texts)]
    index = SemHash.from_records(records=records, columns=["text"], model=Grams())
    kept = {int(record["row"]) for record in index.self_deduplicate(threshold=2 * THRESHOLD / (1 + THRESHOLD)).selected}
    return [row for row in range(len(texts)) if row not in kept]


def text_dedup(texts: list[str]) -> list[int]:
    """Its README, `python -m text_dedup.minhash`; one process, as the other tools."""
    from datasets import load_from_disk

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "texts.jsonl").write_text(
            "".join(json.dumps({"row": row, "text": text}) + "\n" for row, text in enumerate(texts))
        )
        options = ["--path", "json", "--data_files", str(folder / "texts.jsonl"), "--split", "train", "--column", "text"]
        options += ["--cache_dir", str(folder / "cache"), "--output", str(folder / "out"), "--threshold", str(THRESHOLD)]
        options += ["--num_perm", str(PERMUTATIONS), "--num_proc", "1"]
        subprocess.run([sys.executable, "-m", "text_dedup.minhash", *options], check=True)
        kept = set(load_from_disk(str(folder / "out"))["row"])
    return [row for row in range(len(texts)) if row not in kept]


def datatrove(texts: list[str]) -> list[int]:
    """Its examples/minhash_deduplication.py, four steps one after the other; its tokenizer's words are letters here."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash as steps

    class Letters:
        def word_tokenize(self, text: str) -> list[str]:
            return list(text)

    steps.load_word_tokenizer = lambda _: Letters()
    config = steps.MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    kept: set[int] = set()

    def feed(data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for row, text in enumerate(texts):
            yield Document(text=text, id=str(row))

    def note(data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for document in data:
            kept.add(int(document.id))
            yield document

    with tempfile.TemporaryDirectory() as name:
        pipelines = [
            ([feed, steps.MinhashDedupSignature(f"{name}/signatures", config)], 1),
            ([steps.MinhashDedupBuckets(f"{name}/signatures", f"{name}/buckets", config=config)], config.num_buckets),
            ([steps.MinhashDedupCluster(f"{name}/buckets", f"{name}/removed", config=config)], 1),
            ([feed, steps.MinhashDedupFilter(f"{name}/removed"), note], 1),
        ]
        for at, (pipeline, tasks) in enumerate(pipelines):
            LocalPipelineExecutor(pipeline=pipeline, tasks=tasks, workers=1, logging_dir=f"{name}/logs{at}").run()
    return [row for row in range(len(texts)) if row not in kept]


PEERS = {
    "rensa": rensa,
    "rensa-batch": rensa_batch,
    "datasketch": datasketch,
    "semhash": semhash,
    "text-dedup": text_dedup,
    "datatrove": datatrove,
}

if __name__ == "__main__":
    peer, source, target = sys.argv[1:]
    dropped = PEERS[peer](json.loads(Path(source).read_text()))
    Path(target).write_text(json.dumps([[row, None] for row in dropped]))
