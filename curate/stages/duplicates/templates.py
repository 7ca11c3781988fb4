"""Say which rows fill in one template: copy-pasta, forms, generated text. Nothing is dropped."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from curate.core.config import config
from curate.core.contracts import Keys, Schema
from curate.text.normalise import normalise
from curate.text.similarity.leaders import edge_frame, stars
from curate.text.similarity.measures import U64, Rows, Sets, mix

CLUSTER = "template_cluster"
RUN = 3  # words; a word is fixed when it stands in a run that recurs
FIXED = 0.6  # share of a row's words that its template fixes, at least
_POWERS = mix(np.arange(1, 4097, dtype=np.uint64)) | np.uint64(1)
_SLOT = np.uint64(0x5107)


@config
class Templates:
    """Write `template_cluster`: the id of the first row of a template, null for rows of none.

    A run of 3 words is fixed when it stands in the completions of `least` rows. What is left of a completion when every word
    outside fixed runs becomes a slot is its skeleton, and rows with one skeleton share a template: when they are `least` or
    more, most of their words are fixed, and the skeleton has a slot. Held-out rows whose template stands in training are purged
    (see `pairing.splits`); which templates are worth keeping is for people to say.

    Args:
        least: rows of a template.
        words: fixed words of a template.
    """

    least: Annotated[int, Field(ge=2)] = 5
    words: Annotated[int, Field(ge=RUN)] = 6
    VERSION: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns it compares."""
        return ("completion",)

    @property
    def writes(self) -> Schema:
        """Columns it adds."""
        return {CLUSTER: pl.String}

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def keys(self, rows: pl.DataFrame) -> Keys:
        """One bucket for all; the payload is the words, hashed."""
        texts = pl.Series([normalise(text) for text in rows["completion"].fill_null("")], dtype=pl.String)
        words = pl.DataFrame({"words": texts.str.extract_all(r"[\w<>'’]+")})
        flat = words.with_row_index("row").explode("words").drop_nulls()
        numbers = _hashes(flat["words"])
        grouped = flat.select("row", words=numbers).group_by("row", maintain_order=True).agg("words")
        every = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32)})
        payload = every.join(grouped, on="row", how="left", maintain_order="left").select(
            pl.col("words").fill_null(pl.lit([], pl.List(pl.UInt64)))
        )
        buckets = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32), "bucket": np.zeros(rows.height, np.uint64)})
        return Keys(buckets, payload)

    def edges(self, buckets: pl.DataFrame, payload: pl.DataFrame) -> pl.DataFrame:
        """The first row of each template with each of its others; the score is the share of the other's words that is fixed."""
        members = buckets["row"].unique().sort().to_numpy().astype(np.int64)
        lists = payload["words"].gather(members)
        sizes = lists.list.len().to_numpy().astype(np.int64)
        words = lists.filter(lists.list.len() > 0).explode().to_numpy().astype(np.uint64)
        sets = Sets(words, np.concatenate([[0], np.cumsum(sizes)]))
        covered = _fixed(sets, self.least)
        skeleton, fixed = _skeletons(sets, covered)
        share = fixed / np.maximum(sizes, 1)
        fits = np.flatnonzero((fixed >= self.words) & (share >= FIXED) & (fixed < sizes))
        _, group, count = np.unique(skeleton[fits], return_inverse=True, return_counts=True)
        many = count[group] >= self.least
        a, b, _ = stars(group[many].astype(np.uint64), fits[many])
        return edge_frame(members[a], members[b], share[b])

    def decide(self, edges: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Keep every row; those of a template are told its first row."""
        first = pl.concat([edges.select(row="b", first="a"), edges.select(row="a", first="a").unique()])
        own = pl.DataFrame({"row": np.arange(rows.height, dtype=np.uint32)})
        leader = own.join(first, on="row", how="left", maintain_order="left")["first"]
        nothing = pl.lit(None)
        return pl.DataFrame({CLUSTER: rows["id"].gather(leader)}).select(
            reason=nothing.cast(pl.String), score=nothing.cast(pl.Float32), twin=nothing.cast(pl.UInt32), **{CLUSTER: CLUSTER}
        )


def _hashes(words: pl.Series) -> U64:
    """One number per word; every word with a digit, and every placeholder of personal data, is one and the same."""
    import xxhash

    slot = words.str.contains(r"\d|^<")
    different = {word: xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) for word in words.unique()}
    hashed = words.replace_strict(different, return_dtype=pl.UInt64)
    return np.asarray(np.where(slot.to_numpy(), _SLOT, hashed.to_numpy()), np.uint64)


def _fixed(sets: Sets, least: int) -> NDArray[np.bool_]:
    """Which words stand in a run that recurs in at least `least` rows."""
    words, total = sets.values, len(sets.values)
    row = np.repeat(np.arange(len(sets.starts) - 1), sets.sizes)
    count = max(0, total - RUN + 1)
    run = mix(sum((words[at : count + at] * _POWERS[at] for at in range(1, RUN)), words[:count] * _POWERS[0]))
    whole = np.flatnonzero(row[:count] == row[RUN - 1 :][:count])
    different, number = np.unique(run[whole], return_inverse=True)
    pairs = np.unique((number.astype(np.int64) << 32) | row[whole])
    recurs = np.bincount(pairs >> 32, minlength=len(different)) >= least
    covered = np.zeros(total, bool)
    hits = whole[recurs[number]]
    for at in range(RUN):
        covered[hits + at] = True
    return np.asarray(covered & (words != _SLOT))


def _skeletons(sets: Sets, covered: NDArray[np.bool_]) -> tuple[U64, Rows]:
    """A hash of each row's fixed words in order, with runs of others as one slot, and how many words are fixed."""
    row = np.repeat(np.arange(len(sets.starts) - 1), sets.sizes)
    opens = np.ones(len(row), bool)
    opens[1:] = row[1:] != row[:-1]
    slot = ~covered
    repeated = slot.copy()
    repeated[1:] &= slot[:-1]
    kept = np.flatnonzero(~(repeated & ~opens))
    place = np.arange(len(kept)) - np.searchsorted(row[kept], row[kept])
    word = np.where(slot[kept], _SLOT, sets.values[kept])
    hashes = mix(word * _POWERS[place % len(_POWERS)] + place.astype(np.uint64))
    skeleton = np.zeros(len(sets.starts) - 1, np.uint64)
    np.add.at(skeleton, row[kept], hashes)
    return skeleton, np.bincount(row, weights=covered, minlength=len(skeleton)).astype(np.int64)
