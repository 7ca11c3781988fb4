"""The public sets that train the built-in labelers: rows labelled by the policy, in parts that share no group.

Only sets whose licence lets weights be shared: MIT, Apache-2.0, CC0, CC BY. A group (template, context, sentence and its
rewrites) is in one part only; parts are drawn by a hash of the group, so that a set added later moves no row.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from curate.core.policy import Policy, load_policy
from curate.core.schema import digest

Row = tuple[Any, ...]  # in the order of `load`'s columns; what is missing at the end is null

PARTS = {"head": 40, "ngram": 40, "calibration": 10, "test": 10}  # per cent of groups
OWN_PARTS = {"head": 65, "ngram": 20, "calibration": 10, "test": 5}  # of our own templates: each is worth more than its rows
CAPS = {("davidson", True): 5000, ("paradetox", True): 6000, ("paradetox", False): 9000, ("paradetox_cannot_rewrite", True): 4500}
"""Most rows of a (set, toxic) over all parts: no set may teach its own style as toxicity (Davidson is 83 % toxic)."""


@dataclass(frozen=True)
class TrainingSet:
    """Where a set lies, and what the model card says of it."""

    folder: str
    licence: str
    attribution: str


SETS = {
    "davidson": TrainingSet("davidson_tweets_dev", "MIT", "Davidson et al. 2017, Automated Hate Speech Detection, ICWSM"),
    "surge": TrainingSet("surge_toxicity", "MIT", "Surge AI 2021, toxicity dataset"),
    "toxigen": TrainingSet("toxigen_dev", "MIT", "Hartvigsen et al. 2022, ToxiGen (demonstrations), ACL"),
    "paradetox": TrainingSet("paradetox_dev", "CC0-1.0", "Logacheva et al. 2022, ParaDetox, ACL"),
    "paradetox_cannot_rewrite": TrainingSet("paradetox_dev", "CC0-1.0", "Logacheva et al. 2022, ParaDetox, ACL"),
    "diasafety": TrainingSet(
        "diasafety_dev", "Apache-2.0", "Sun et al. 2022, On the Safety of Conversational Models, Findings of ACL"
    ),
    "toxic_spans": TrainingSet("toxic_spans_dev", "CC0-1.0", "Pavlopoulos et al. 2022, Toxic Spans (Civil Comments text), ACL"),
    "hatecheck": TrainingSet("hatecheck_dev", "CC-BY-4.0", "Röttger et al. 2021, HateCheck, ACL-IJCNLP"),
    "singlish_treebank": TrainingSet(
        "singlish_treebank_dev", "MIT", "Wang et al. 2017, Universal Dependencies Parsing for Colloquial Singaporean English, ACL"
    ),
    "self_instruct": TrainingSet("self_instruct", "Apache-2.0", "Wang et al. 2023, Self-Instruct, ACL"),
    "mild_templates": TrainingSet("", "CC0-1.0", "written for this project: scripts/mild_templates.yaml"),
    "group_templates": TrainingSet("", "CC0-1.0", "written for this project: scripts/group_templates.rot13"),
    "profanity": TrainingSet("lexicon_surge_profanity", "MIT", "Surge AI 2021, profanity list, in carriers of our own"),
    "people_templates": TrainingSet(
        "lexicon_surge_profanity",
        "CC0-1.0",
        "written for this project: scripts/people_templates.rot13 (words for groups: Surge AI, MIT)",
    ),
}
HEAD_ONLY = ("group_templates", "profanity")
TUNED_ONLY = ("people_templates",)
OWN = ("group template ", "people template ")
WEAK = ("singlish_treebank",)
SELF_EVIDENT = "Toxicity Agreement"
"""DiaSafety's replies that agree with abuse: most of them show it by themselves, and drown what only a prompt can show."""
RENDERINGS = {"mild_templates": 40, "group_templates": 25, "people_templates": 25}
SEVERE = 2.0  # of 3: from here on a term of the profanity list abuses whoever it is said to
CARRIERS = (
    *("you {}", "you are such a {}", "what a {} you are", "all these {}", "{}"),
    *("go away, {}", "I hate that {}", "typical {} talk"),
)


ENCODED = {"oath": "shpx qnza fperj", "oathing": "shpxvat qnza tbqqnza oybbql", "muck": "fuvg penc ohyyfuvg"}
"""Swear words that `people_templates` fill in, by rot13: strong words stand in no file of ours as they are."""
TERMS = ("racial / ethnic slurs", "sexual orientation / gender")  # of the profanity list: words for groups
KNOWN_TERM = 1.5  # severity from which on such a word is one


def load(data: Path) -> pl.DataFrame:
    """Every usable row but those of TUNED_ONLY.

    Args:
        data: folder that holds the sets' folders.

    Returns:
        `set`, `text`, `toxic` (Boolean), `category`, `share` (of votes that say toxic, null without), `group`, `prompt` (what the
        text answers, null where that is not known), `kind` (a set's own name for what a row tests), `part`.
    """
    policy = load_policy()
    readers = (_davidson, _surge, _toxigen, _paradetox, _diasafety, _spans, _hatecheck, _benign, _templates, _profanity)
    frame = _frame([row for read in readers for row in read(data, policy)])
    frame = frame.with_columns(place=pl.int_range(pl.len()).over("set", "toxic"))
    for (name, toxic), most in CAPS.items():
        frame = frame.filter(~((pl.col("set") == name) & (pl.col("toxic") == toxic) & (pl.col("place") >= most)))
    return _purge(frame.drop("place"))


def load_people(data: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of TUNED_ONLY, without texts that `rows`, as `load` gives them, hold: added later, they move none of those."""
    known = {key(text) for text in rows["text"]}
    people = _purge(_frame(list(_people(data))))
    return people.filter(~pl.col("text").map_elements(key, return_dtype=pl.String).is_in(known))


def _frame(rows: list[Row]) -> pl.DataFrame:
    """Rows of readers with all columns and their part, in an order of their own; none twice."""
    schema = {
        "set": pl.String,
        "text": pl.String,
        "toxic": pl.Boolean,
        "category": pl.String,
        "share": pl.Float64,
        "group": pl.String,
        "prompt": pl.String,
        "kind": pl.String,
    }
    filled = [(*row, *(None,) * (8 - len(row))) for row in rows]
    frame = pl.DataFrame(filled, schema=schema, orient="row").filter(pl.col("text").str.len_chars().is_between(2, 1000))
    frame = frame.with_columns(
        order=pl.struct("set", "text").map_elements(lambda row: digest(row["set"], row["text"]), return_dtype=pl.String)
    )
    frame = frame.sort("order").unique("order", keep="first", maintain_order=True).drop("order")
    return frame.with_columns(part=pl.col("group").map_elements(part_of, return_dtype=pl.String))


def part_of(group: str) -> str:
    """The part that a group belongs to."""
    at = int(digest("builtin labelers", group), 16) % 100
    for name, share in (OWN_PARTS if group.startswith(OWN) else PARTS).items():
        if at < share:
            return name
        at -= share
    raise AssertionError("PARTS must add up to 100")


def key(text: str) -> str:
    """A text in the spelling that near-repeats share: letters and digits only, handles and retweet marks gone."""
    return re.sub(r"[\W_]+", "", re.sub(r"@\w+|https?://\S+|\brt\b", " ", text.casefold()))


def _purge(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop a text from every part but the first that holds it (two sets may share sentences that their groups do not show)."""
    rank = {name: at for at, name in enumerate(PARTS)}
    frame = frame.with_columns(
        key=pl.col("text").map_elements(key, return_dtype=pl.String),
        rank=pl.col("part").replace_strict(rank, return_dtype=pl.Int8),
    )
    return frame.filter(pl.col("rank") == pl.col("rank").min().over("key")).drop("key", "rank")


def _davidson(data: Path, policy: Policy) -> Iterator[Row]:
    for fields in _csv(data / "davidson_tweets_dev/labeled_data_dev.csv.gz"):
        label, votes = policy.label_record("davidson", fields), policy.votes("davidson", fields)
        text = re.sub(r"^\W*RT\b\W*", "", fields["tweet"])
        if label.toxic is not None:
            yield "davidson", text, label.toxic, label.category, votes[0] if votes else None, key(text)


def _surge(data: Path, policy: Policy) -> Iterator[Row]:
    for fields in _csv(data / "surge_toxicity/toxicity_en.csv"):
        label = policy.label_record("surge", fields)
        if label.toxic is not None:
            yield "surge", fields["text"], label.toxic, label.category, None, key(fields["text"])


def _toxigen(data: Path, policy: Policy) -> Iterator[Row]:
    for fields in _csv(data / "toxigen_dev/demonstrations_dev.csv"):
        label = policy.label_record("toxigen", fields)
        if label.toxic is not None:
            yield "toxigen", fields["text"], label.toxic, label.category, None, key(fields["text"])


def _paradetox(data: Path, policy: Policy) -> Iterator[Row]:
    for fields in _csv(data / "paradetox_dev/paradetox_dev.tsv.gz", "\t"):
        for column, toxic in policy.sources["paradetox"].texts.items():
            if fields.get(column):
                yield "paradetox", fields[column], toxic, None, None, key(fields["toxic"])
    for fields in _csv(data / "paradetox_dev/paradetox_cannot_rewrite_dev.tsv.gz", "\t"):
        label, text = policy.label_record("paradetox_cannot_rewrite", fields), fields["INPUT:toxic_comment"]
        if label.toxic is not None:
            yield "paradetox_cannot_rewrite", text, label.toxic, None, None, key(text)


def _diasafety(data: Path, policy: Policy) -> Iterator[Row]:
    for name in ("train.json.gz", "val.json"):
        for fields in json.loads(_bytes(data / "diasafety_dev" / name)):
            label = policy.label_record("diasafety", fields)
            if label.toxic is not None:
                category, asked = fields["category"], fields["context"]
                yield "diasafety", fields["response"], label.toxic, label.category, None, key(asked), asked, category


def _spans(data: Path, policy: Policy) -> Iterator[Row]:
    votes: dict[str, list[bool]] = defaultdict(list)
    for fields in _csv(data / "toxic_spans_dev/annotations.csv.gz"):
        label = policy.label_record("toxic_spans_votes", fields)
        if label.toxic is not None:
            votes[fields["comment_id"]].append(label.toxic)
    for fields in _csv(data / "toxic_spans_dev/comments.csv.gz"):
        cast = votes[fields["comment_id"]]
        share = sum(cast) / len(cast) if cast else 0.5
        toxic = policy.side(share)
        if toxic is not None:
            yield "toxic_spans", fields["comment_text"], toxic, None, share, key(fields["comment_text"])


def _hatecheck(data: Path, policy: Policy) -> Iterator[Row]:
    for fields in _csv(data / "hatecheck_dev/hatecheck_dev.csv"):
        label = policy.label_record("hatecheck", fields)
        if label.toxic is not None:
            group = f"hatecheck template {fields['templ_id']}"
            yield "hatecheck", fields["test_case"], label.toxic, label.category, None, group, None, fields["functionality"]


def _benign(data: Path, policy: Policy) -> Iterator[Row]:
    """Plain text without labels: weak negatives (forum Singlish), and instructions with their answers."""
    for line in _bytes(data / "singlish_treebank_dev/singlish_stb_dev.jsonl.gz").splitlines():
        fields = json.loads(line)
        if policy.label_record("singlish_treebank", fields).weak:
            yield "singlish_treebank", fields["text"], False, None, None, key(fields["text"])
    for name in ("seed_tasks.jsonl", "user_oriented_instructions.jsonl"):
        for line in _bytes(data / "self_instruct" / name).splitlines():
            fields = json.loads(line)
            for text in (fields["instruction"], *(one[side] for one in fields["instances"] for side in ("input", "output"))):
                yield "self_instruct", text, False, None, None, key(fields["instruction"])


def _csv(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 24)
    yield from csv.DictReader(_bytes(path).decode("utf-8-sig").splitlines(keepends=True), delimiter=delimiter)


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _templates(data: Path, policy: Policy) -> Iterator[Row]:
    """Our own templates, each rendered a number of times; the group is the template."""
    del data, policy
    for name in ("mild_templates", "group_templates"):
        page = _page(name)
        yield from _rendered(name, page, page["slots"])


def _people(data: Path) -> Iterator[Row]:
    """Our templates for `tuned`, with the slots of `group_templates` and words that no file of ours holds."""
    page = _page("people_templates")
    fields = _csv(data / "lexicon_surge_profanity/profanity_en.csv")
    known = [one["text"] for one in fields if one["category_1"] in TERMS and float(one["severity_rating"]) >= KNOWN_TERM]
    terms = [term for term in known if term.isalpha() and not term.endswith("s")]
    encoded = {name: codecs.decode(words, "rot13").split() for name, words in ENCODED.items()}
    yield from _rendered("people_templates", page, _page("group_templates")["slots"] | page["slots"] | encoded | {"term": terms})


def _page(name: str) -> dict[str, Any]:
    """Our templates; those about groups of people are encoded, so that nobody reads contempt who did not mean to."""
    plain, hidden = (Path(__file__).with_name(f"{name}.{ending}") for ending in ("yaml", "rot13"))
    text = plain.read_text("utf-8") if plain.exists() else codecs.decode(hidden.read_text("utf-8"), "rot13")
    return dict(yaml.safe_load(text))


def _rendered(name: str, page: dict[str, Any], slots: dict[str, list[str]]) -> Iterator[Row]:
    insult = "insults" if name == "mild_templates" else "hateful"
    for side, category in (("toxic", insult), ("toxic_persons", "insults"), ("harmless", None)):
        for template in page.get(side, ()):
            rng = random.Random(digest("mild template", template))  # noqa: S311 - not for secrets
            for text in sorted({_render(template, slots, rng) for _ in range(RENDERINGS[name])}):
                group = f"{name.removesuffix('s').replace('_', ' ')} {template}"
                yield name, text, category is not None, category, None, group


def _profanity(data: Path, policy: Policy) -> Iterator[Row]:
    """Severe terms of the profanity list, each said to somebody in a few of our words; the group is the term."""
    del policy
    for fields in _csv(data / "lexicon_surge_profanity/profanity_en.csv"):
        if float(fields["severity_rating"]) >= SEVERE:
            rng = random.Random(digest("profanity", fields["text"]))  # noqa: S311 - not for secrets
            for carrier in rng.sample(CARRIERS, 2):
                category = "hateful" if "slur" in fields["category_1"] else "insults"
                yield "profanity", carrier.format(fields["text"]), True, category, None, key(fields["text"])


def _render(template: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    text = re.sub(r"\[([^\]]*)\]", lambda match: rng.choice(match[1].split("|")), template)
    text = re.sub(r"\{(\w+)\}", lambda match: rng.choice(slots[match[1]]), text)
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text
