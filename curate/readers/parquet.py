"""Parquet, some rows at a time; page checksums are verified where the file has them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from curate.readers.container import Stream
from curate.readers.lines import KEPT, MAX_RECORD
from curate.readers.records import Broken, Record
from curate.schema import canonical

BATCH = 256  # rows held at a time


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every row as a record; `raw` is its canonical JSON."""
    count = 0
    try:
        with pq.ParquetFile(stream.path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=BATCH, use_threads=False):
                for fields in batch.to_pylist():
                    count += 1
                    raw = canonical(fields).encode("utf-8", "backslashreplace")
                    if len(raw) > MAX_RECORD:
                        yield Broken(raw[:KEPT], f"row {count}", f"longer than {MAX_RECORD >> 20} MiB")
                    elif b"\\u0000" in raw:
                        yield Broken(raw[:KEPT], f"row {count}", "holds NUL")
                    else:
                        yield Record(fields, raw, f"row {count}")
    except (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError, RecursionError) as error:
        yield Broken(b"", f"row {count + 1}", f"the file cannot be read from here on ({type(error).__name__})")
