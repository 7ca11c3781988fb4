"""Words that tell Malay from Indonesian, from how often each language uses them: `curate/text/language/malay_words/words.zlib`.

    python -m pip install wordfreq==3.1.1        # 57 MB; in an environment of its own
    python scripts/malay_words.py

A weight is the natural log of the ratio of a word's frequency in Malay to that in Indonesian (wordfreq 3.1.1, lists "small"),
with 1e-6 added to both, cut off at 3. Words rarer than 5e-6 in both and weights below 1 are left out: of the cut-offs that
were tried (2e-6 to 4e-5, .5 to 1.5) these lose least, and the result is a fifth of the whole lists.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zlib
from pathlib import Path

from wordfreq import get_frequency_dict

OUT = Path(__file__).resolve().parent.parent / "curate/text/language/malay_words/words.zlib"
LEAST = 5e-6  # share of all words
WEIGHT = (1.0, 3.0)  # least and most
ADDED = 1e-6  # about the rarest frequency in either list


def main() -> None:
    """Write the words."""
    malay, indonesian = (get_frequency_dict(code, wordlist="small") for code in ("ms", "id"))
    weights = {}
    for word in sorted({*malay, *indonesian}):
        here, there = malay.get(word, 0.0), indonesian.get(word, 0.0)
        weight = math.log((here + ADDED) / (there + ADDED))
        if re.fullmatch("[a-z]+", word) and max(here, there) >= LEAST and abs(weight) >= WEIGHT[0]:
            weights[word] = round(max(-WEIGHT[1], min(WEIGHT[1], weight)), 1)
    OUT.write_bytes(zlib.compress(json.dumps(weights, separators=(",", ":")).encode("ascii"), 9))
    sys.stdout.write(f"{OUT}: {len(weights):,} words, {OUT.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
