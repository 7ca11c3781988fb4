"""The table of figures that `align bench --json` printed: `python -m align.bench FIGURES.json`."""

import json
import sys
from pathlib import Path

from align.bench.figures import BenchFigures, table

if __name__ == "__main__":
    sys.stdout.write(table(BenchFigures.from_json(json.loads(Path(sys.argv[1]).read_bytes()))) + "\n")
