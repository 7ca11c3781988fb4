"""What share of `curate build` with the default recipe the duplicate stages take, by CPU.

python benchmarks/duplicates_build.py 5000
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from throughput import write_rows

STAGES = ("exact_duplicates", "near_duplicates")


def main(count: int) -> None:
    """Build from invented short rows, read the build's own log."""
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "pairs"
        raw.mkdir()
        write_rows(raw / "rows.jsonl.zst", count)
        command = [sys.executable, "-m", "curate", "build", "--source", str(raw), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True)
        lines = [json.loads(line) for line in (out.with_name("pairs.work") / "build.log.jsonl").read_text().splitlines()]
    whole = sum(line["cpu_seconds"] for line in lines)
    print(f"curate build of {count:,} rows: {whole:.1f} CPU-s")
    for line in lines:
        if line["step"] in STAGES:
            print(
                f"  {line['step']}: {line['cpu_seconds']:.2f} CPU-s, {line['cpu_seconds'] / whole:.1%}, {line['rows']:,} rows in"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
