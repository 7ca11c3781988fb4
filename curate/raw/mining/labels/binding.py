"""Every column that holds labels: the text of which it speaks and who speaks, or the reason why it is kept apart.

A label is bound by its name, by what it is nested in, and only where neither says anything by what stands beside it: then it
is of the completion, or of a text's own. A label of the prompt is never used for the completion, and a machine's never for a
person's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curate.core.policy import Policy
from curate.core.schema import EVIDENCE
from curate.raw.files.records import Json
from curate.raw.mining.columns import Bindings, TableSample, by_name, plain_name, votes, words_of
from curate.raw.mining.labels.label_names import LabelName, Speaker, asked, has_decimals, is_fraction, is_score, label_name
from curate.raw.mining.labels.makers import MAKERS, Question
from curate.raw.mining.labels.words import ANNOTATORS, FILLERS, GUESSES, LABEL, PEOPLE, SHARES, SOURCES
from curate.raw.mining.names import ANNOTATOR, NAMES
from curate.raw.sources import Kind

LABELS_FIT = 0.9  # share of a column's values that the policy must know for it to be labels without being named so

OF_PROMPT = "label of the prompt: kept apart"
BY_MACHINE = "a machine's word"
SCORE = "a score: nothing says that people gave it"
OF_NO_TEXT = "speaks of no one text that is here"

LABEL_ROLES = ("label", "votes", "votes_toxic", "votes_non_toxic", "votes_total", "category", "evidence")

VOTES = frozenset(name for role in ("votes", "votes_toxic", "votes_non_toxic") for name in NAMES[role])

OWN: dict[Kind, tuple[str, ...]] = {
    "preference": (),
    "ballot": (),
    "parallel": ("toxic_text",),
    "messages": ("messages",),
    "completion": ("completion", "instances"),
    "chat": ("text",),
    "thread": ("text",),
    "text": ("text",),
}
"""Kind -> the roles whose text a label is of that names none."""

SIDES: dict[Kind, tuple[str, ...]] = {"preference": ("chosen", "rejected"), "ballot": ("response_a", "response_b")}
"""Kind -> the roles whose texts have labels of their own, where a name says so."""

ASKING = ("prompt", "input", "history", "quote", "title", "parent")
"""Roles of what a text answers."""

OF_PROMPTS: tuple[frozenset[str], ...] = (frozenset({"user_input", "model_output", "toxicity", "jailbreaking"}),)
"""Headers of public sets whose labels are of the prompt, though their names do not say it: ToxicChat."""

OF_JURIES: tuple[frozenset[str], ...] = (
    frozenset({"prompt", "response", "prompt_label", "response_label", "response_label_source"}),
)
"""Headers of public sets that people published with a jury of models as their judge: given, as a machine's word. Aegis 2.0."""


OF_SHARES: tuple[tuple[frozenset[str], str, str], ...] = (
    (frozenset({"target", "comment_text", "toxicity_annotator_count"}), "", "target"),
    (frozenset({"toxicity", "comment_text", "toxicity_annotator_count"}), "", "toxicity"),
    (frozenset({"text", "toxicity", "severe_toxicity", "identity_attack"}), r"civil[-_ ]?comments", "toxicity"),
)
"""Header, what the path must hold, and the column whose numbers are shares of annotators who say toxic: Civil Comments.

Detoxify writes the third header too, so that it proves nothing by itself.
"""


@dataclass(frozen=True)
class LabelBindings:
    """The labels of a table.

    Attributes:
        columns: role -> columns, of `LABEL_ROLES`: what speaks of the rows' own text, by people.
        questions: what people answered with a tool of annotation; they outrank the columns.
        sides: of pairs: the column of a text -> the columns of its labels.
        apart: column of labels that no row is given -> why.
        jury: whether a machine's word is given, as a machine's.
        answers: what 1 means in the column of labels, where the header alone proves it.
    """

    columns: Bindings
    questions: tuple[Question, ...] = ()
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    jury: bool = False
    answers: bool | None = None


def bind_labels(sample: TableSample, bindings: Bindings, kind: Kind | None, pinned: Collection[str] = ()) -> LabelBindings:
    """Give every column of labels its text and its speaker.

    Args:
        sample: the table.
        bindings: the columns of its texts.
        kind: how its records become rows.
        pinned: columns that the recipe names as labels: they are what it says.
    """
    if kind is None:
        return LabelBindings({})
    places = _Places(sample, bindings, kind)
    share = _share(sample)
    questions = _questions(sample, places) if share is None else []
    sources = tuple(column for column in sample.values if _tells_source(column, sample))
    no_labels = {*places.texts, *sources, *(column for question in questions for column in question.columns)}
    columns = {column: places.name(column) for column in sample.values if column not in no_labels}
    speakers = _speakers(columns, sample, bool(sources))
    place = {column: places.of(name) for column, name in columns.items()}
    people = {column for column, speaker in speakers.items() if speaker in (None, "people")}

    shown = {_short(c, columns[c]): c for c in columns if c in people and place[c] == "own"}
    view = replace(sample, values={name: sample.values[c] for name, c in shown.items()})
    own: Bindings = {role: (name,) for role in LABEL_ROLES if role in NAMES and (name := by_name(role, view.values)) is not None}
    own |= _own_votes(votes(view, own), place)
    own = {role: tuple(shown.get(name, name) for name in names) for role, names in own.items()}
    labels = [column for column in columns if _is_label(column, columns[column], sample)]
    own["label"] = _best([column for column in labels if column in shown.values()], columns, speakers, sample)
    own["evidence"] = tuple(c for c in sources if places.of(places.name(c)) == "own")
    sides = {
        text: names
        for text in places.sides
        if (names := _best([c for c in labels if c in people and place[c] == text], columns, speakers, sample))
    }
    own |= {"label": (share,), "votes": ()} if share is not None else {}
    used = {*pinned, *own["label"], *(c for q in questions for c in q.columns), *(c for names in sides.values() for c in names)}
    elsewhere = [column for column, of in place.items() if of in ("prompt", "none") and _holds_votes(columns[column])]
    apart = {
        column: why
        for column in (*labels, *elsewhere)
        if column not in used and (why := _why_apart(place[column], speakers[column], bool(places.sides))) is not None
    }
    if questions:
        own["label"] = tuple(dict.fromkeys(question.columns[0] for question in questions))
    header = set(sample.values)
    jury = any(header >= known for known in OF_JURIES)
    return LabelBindings(
        {role: names for role, names in own.items() if names}, tuple(questions), sides, apart, jury, share is not None or None
    )


class _Places:
    """The texts of a table, and of which of them a label speaks."""

    def __init__(self, sample: TableSample, bindings: Bindings, kind: Kind) -> None:
        self._kind = kind
        self._roles: dict[str, str] = {}
        for role in (*OWN[kind], *SIDES.get(kind, ()), *ASKING):
            for column in bindings.get(role, ()) if role != "parent" else ():
                self._roles.setdefault(column, role)
        self.texts = set(self._roles)
        self.sides = tuple(column for column, role in self._roles.items() if role in SIDES.get(kind, ()))
        self._of_prompts = any(set(map(plain_name, sample.values)) >= known for known in OF_PROMPTS)
        texts = [column for column, role in self._roles.items() if role == "text"]
        self._own_subject = label_name(texts[0]).subject if texts else None

    def name(self, column: str) -> LabelName:
        return label_name(column, self.texts)

    def of(self, name: LabelName) -> str:
        """The text that a name means: "own", "prompt", a side's column, or "none"."""
        if name.text is not None:
            role = self._roles[name.text]
            return "prompt" if role in ASKING else name.text if name.text in self.sides else "own"
        if name.bare:
            return "prompt" if self._of_prompts else "own" if OWN[self._kind] else "none"
        if self._kind == "text":
            return "own" if name.subject == self._own_subject else "none"
        return {"prompt": "prompt", "completion": "own" if OWN[self._kind] else "none"}.get(str(name.subject), "none")


def _short(column: str, name: LabelName) -> str:
    """What a column would be called if it did not name the text: "votes" for "response_votes"."""
    return column if "." in column or name.bare or not name.rest else name.rest


def _own_votes(voted: Bindings, place: Mapping[str, str]) -> Bindings:
    """Votes; an object that holds labels of several texts holds no annotators."""
    prefixes = [column[:-1] for column in voted.get("votes", ()) if column.endswith(".*")]
    mixed = any(column.startswith(prefix) and of != "own" for prefix in prefixes for column, of in place.items())
    return {"votes": ()} if mixed else voted


def _questions(sample: TableSample, places: _Places) -> list[Question]:
    """What people answered of the rows' own text, in the first form that fits."""
    for maker in MAKERS.values():
        asked_of_all = maker.questions(sample.values)
        if asked_of_all:
            return [question for question in asked_of_all if places.of(places.name(question.name)) == "own"]
    return []


def _share(sample: TableSample) -> str | None:
    """The column that a public set's header proves to be a share of annotators."""
    header, place = set(sample.values), sample.place.casefold()
    return next((column for known, path, column in OF_SHARES if header >= known and re.search(path, place)), None)


def _tells_source(column: str, sample: TableSample) -> bool:
    """Whether cells tell who gave the labels: "label_source", or the evidence that our own files have."""
    name = plain_name(asked(column))
    if name == "evidence":
        cells = {str(value) for value in sample.values[column] if value not in (None, "")}
        return bool(cells) and cells <= set(EVIDENCE)
    words = name.split("_")
    about = (LABEL | ANNOTATORS).intersection(words)
    return name in ANNOTATORS or (words[-1] in SOURCES and len(about) > 0)


def _speakers(columns: Mapping[str, LabelName], sample: TableSample, has_source: bool) -> dict[str, Speaker | None]:
    """Whose word each column is, by its name, else by what it holds: beside a machine's scores decimals are scores, too."""
    speakers = {column: name.speaker for column, name in columns.items()}
    if has_source and "evidence" in sample.values:
        return speakers  # our own files tell it row by row
    for column in columns:
        before, _, last = column.rpartition("score")  # a classifier's answer: {"label": "toxic", "score": 0.98}
        if not last and is_score(sample.values[column]) and speakers.get(f"{before}label", "") is None:
            speakers[f"{before}label"] = "machine"
    unnamed = [column for column, speaker in speakers.items() if speaker is None and _is_label(column, columns[column], sample)]
    if any(is_score(sample.values[column]) for column in unnamed):
        speakers |= {column: "score" for column in unnamed if has_decimals(sample.values[column])}
    return speakers


def _is_label(column: str, name: LabelName, sample: TableSample) -> bool:
    """Whether a column holds labels of toxicity: by its name, or by hardly anything but the policy's words of both sides."""
    question, values = asked(column), sample.values[column]
    if words_of(values) >= 3 or any(isinstance(value, (list, dict)) and value for value in values) and not name.speaker:
        return plain_name(question) in NAMES["label"] and words_of(values) < 3
    if plain_name(question) in NAMES["label"] or sample.policy.label(question, 1).toxic is not None:
        return True
    if name.speaker == "machine" and not name.words and any(_is_guess(value, sample.policy) for value in values):
        return True
    if name.speaker == "machine" and GUESSES.intersection(plain_name(question).split("_")):
        return True
    polarity = sample.policy.polarity
    known = LABEL | FILLERS | PEOPLE | SHARES | {*polarity.toxic, *polarity.non_toxic, *polarity.negations}
    if LABEL.intersection(name.words) and known.issuperset(name.words):
        return True
    return _holds_labels(values, sample.policy)


def _is_guess(value: Json, policy: Policy) -> bool:
    """Whether a machine's cell says a side, or a share of it."""
    return is_fraction(value) or policy.label("", value).toxic is not None


def _holds_labels(values: Sequence[Json], policy: Policy) -> bool:
    known = ("", *policy.words.abstain, *policy.answers.affirmative, *policy.answers.negative)
    words = Counter(str(cell).strip().casefold() for cell in values if isinstance(cell, (str, int, bool)))
    sides = {word: policy.label("", word).toxic for word in words}
    fit = sum(count for word, count in words.items() if sides[word] is not None or word in known)
    return {True, False} <= set(sides.values()) and fit >= LABELS_FIT * words.total() > 0


def _holds_votes(name: LabelName) -> bool:
    """Whether a column that names a text has votes of it, or what one annotator said."""
    return not name.bare and (name.rest in VOTES or ANNOTATOR.fullmatch(name.rest) is not None)


def _best(
    columns: Sequence[str], names: Mapping[str, LabelName], speakers: Mapping[str, Speaker | None], sample: TableSample
) -> tuple[str, ...]:
    """Those of the best columns of labels that the policy can read, in an order that is not the table's; else the first.

    A name that says of which text it speaks is better than one that does not, and one that says that people spoke than one
    that does not.
    """
    order = {name: at for at, name in enumerate(NAMES["label"])}

    def rank(column: str) -> tuple[bool, bool, int, str]:
        plain = plain_name(asked(column))
        return names[column].bare, speakers[column] != "people", order.get(plain, len(order)), column

    ranked = sorted(columns, key=rank)
    readable = [column for column in ranked if any(_reads(column, value, sample.policy) for value in sample.values[column])]
    best = [column for column in readable if rank(column)[:2] == rank(readable[0])[:2]]
    return tuple(best or ranked[:1])


def _reads(column: str, value: Json, policy: Policy) -> bool:
    return policy.label(asked(column), value).toxic is not None


def _why_apart(place: str, speaker: Speaker | None, pairs: bool) -> str | None:
    """Why no row is given a column's label; None where one may be."""
    if place == "prompt":
        return OF_PROMPT
    if speaker in ("machine", "score"):
        return BY_MACHINE if speaker == "machine" else SCORE
    return OF_NO_TEXT if place == "none" else None
