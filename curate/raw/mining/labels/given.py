"""What people say of a record's toxicity, read by the policy: one label, votes, or counts of votes; or why nobody says it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curate.core.policy import Policy
from curate.core.schema import EVIDENCE
from curate.raw.files.records import Fields, Json
from curate.raw.mining.columns import leaf
from curate.raw.mining.labels.binding import BY_MACHINE, OF_PROMPT
from curate.raw.mining.labels.label_names import asked, label_name, speaker_in
from curate.raw.mining.labels.makers import MAKERS
from curate.raw.mining.labels.words import WHOLE
from curate.raw.mining.roles import Roles
from curate.raw.sources import SourceSettings

LABELS = frozenset({"label", "votes", "votes_toxic"})
PROVEN = {True: "is_toxic", False: "is_safe"}  # the name that a column earns by the words in it
MOST_VOTES = 65_535  # what the column holds

UNPROVEN = "nothing proves which side it is on"
DISAGREE = "labels of one text that disagree"


@dataclass(frozen=True)
class GivenLabel:
    """A label as rows carry it: see `given`, `votes`, `evidence` and `category` in `schema.ROW`.

    Attributes:
        share: of votes that say toxic, in [0, 1]; None where nobody's word counts.
        votes: how many.
        category: of the policy.
        whose: one of `schema.EVIDENCE` where the data says it; None where the number of votes tells.
        why: for a label that is there and does not count: the reason.
    """

    share: float | None = None
    votes: int = 0
    category: str | None = None
    whose: str | None = None
    why: str | None = None

    @property
    def evidence(self) -> str | None:
        """One vote is a label that somebody gave; several are votes."""
        if self.share is None:
            return None
        return self.whose or ("votes" if self.votes > 1 else "human")


NO_LABEL = GivenLabel()


def given_label(fields: Fields, roles: Roles, settings: SourceSettings, policy: Policy) -> GivenLabel:
    """Read a record's label.

    The recipe's own `labels` come first, then the rules for the public set that the header shows, then what people answered
    with a tool, then votes, then the label. Where a column tells who gave it, a machine's does not count.
    """
    if roles.known is None and not LABELS.intersection(roles.columns):
        return NO_LABEL
    pinned = {_spelling(word): toxic for word, toxic in settings.labels.items()}
    if roles.known is not None and not pinned:
        by_rule = _by_public_rule(fields, roles.known, policy)
        if by_rule is not None:
            return by_rule
    category = _category(fields, roles, policy)
    if roles.questions:
        return _answered(fields, roles, pinned, policy, category)
    votes = _counts(fields, roles) or _ballots(fields, roles, pinned, policy)
    if votes is not None and votes[1]:
        toxic, total = votes
        return _by_whom(_voted(toxic / total, total, category, policy), fields, roles)
    columns = roles.columns.get("label", ())
    label = _of_columns(columns, fields, pinned, policy, roles.answers, category)
    if label == NO_LABEL and any(_says_something(fields.get(column), policy) for column in _ballot_columns(fields, roles)):
        return GivenLabel(why=UNPROVEN)
    return _by_whom(label, fields, roles)


def side_label(text: str, fields: Fields, roles: Roles, settings: SourceSettings, policy: Policy) -> GivenLabel:
    """The label of one side of a pair, where columns speak of it alone.

    Args:
        text: the side's column.
        fields: the record's.
        roles: how its table is understood.
        settings: what the recipe says of it.
        policy: reads labels.
    """
    pinned = {_spelling(word): toxic for word, toxic in settings.labels.items()}
    return _of_columns(roles.sides.get(text, ()), fields, pinned, policy, None, None)


def abstentions(fields: Fields, roles: Roles, settings: SourceSettings, policy: Policy, labelled: bool) -> list[str]:
    """Why labels that a record has are given to none of its rows: each reason once.

    Args:
        fields: the record's.
        roles: how its table is understood.
        settings: what the recipe says of it.
        policy: reads labels.
        labelled: whether a row of it has a label; then only what speaks of the prompt is told.
    """
    reasons = {why for column, why in roles.apart.items() if _says_something(fields.get(column), policy)}
    if labelled:
        return sorted(reasons & {OF_PROMPT})
    why = given_label(fields, roles, settings, policy).why
    return sorted(reasons | ({why} if why is not None else set()))


def _answered(fields: Fields, roles: Roles, pinned: Mapping[str, bool], policy: Policy, category: str | None) -> GivenLabel:
    """What people decided with a tool: of several questions those that they answered must agree."""
    labels: list[GivenLabel] = []
    for question in roles.questions:
        answers = MAKERS[question.maker].answers(fields, question, policy)
        read = [_read(question.name, answer, pinned, policy, roles.answers) for answer in answers]
        sides = [toxic for toxic, _ in read if toxic is not None]
        of_answers = next((kind for toxic, kind in read if toxic and kind), None)
        if sides:
            labels.append(_voted(sum(sides) / len(sides), len(sides), category or of_answers, policy))
        elif answers:
            labels.append(GivenLabel(why=UNPROVEN))
    return _agreed(labels, policy)


def _of_columns(
    columns: Sequence[str],
    fields: Fields,
    pinned: Mapping[str, bool],
    policy: Policy,
    answers: bool | None,
    category: str | None,
) -> GivenLabel:
    """What columns of labels say of one text."""
    wholes: list[GivenLabel] = []
    kinds: list[GivenLabel] = []
    for column in columns:
        value = fields.get(column)
        is_toxic, of_label = _read(column, value, pinned, policy, answers)
        if is_toxic is not None:
            whose = "machine" if label_name(column).speaker in ("machine", "score") else None  # the recipe took it for a label
            label = GivenLabel(float(is_toxic), 1, (category or of_label) if is_toxic else None, whose)
            (kinds if _of_one_kind(column, policy) else wholes).append(label)
        elif _says_something(value, policy):
            wholes.append(GivenLabel(why=UNPROVEN))
    kinds.sort(key=lambda label: -(label.share or 0))  # what is of no one kind may be of another
    if any(label.share is not None for label in wholes):
        return _agreed(wholes + [label for label in kinds if label.share], policy)
    return next(iter(kinds or wholes), NO_LABEL)


def _of_one_kind(column: str, policy: Policy) -> bool:
    """Whether a column's name asks for one kind of toxicity, as "threat" does."""
    return policy.label(asked(column), 1).toxic is True and not WHOLE.intersection(label_name(column).words)


def _agreed(labels: Sequence[GivenLabel], policy: Policy) -> GivenLabel:
    """The first of labels of one text, unless another is on the other side."""
    read = [label for label in labels if label.share is not None]
    if len({policy.side(label.share) for label in read if label.share is not None} - {None}) > 1:
        return GivenLabel(why=DISAGREE)
    return next(iter(read or labels), NO_LABEL)


def _by_whom(label: GivenLabel, fields: Fields, roles: Roles) -> GivenLabel:
    """A label with whose word it is, where a column of the record tells that."""
    for column in roles.columns.get("evidence", ()) if label.share is not None else ():
        cell = fields.get(column)
        if speaker_in(cell) in ("machine", "score"):
            return replace(label, whose="machine") if roles.jury else GivenLabel(why=BY_MACHINE)
        if leaf(column) == "evidence":
            return _of_our_own(label, str(cell or ""), column.removesuffix("evidence"), fields)
    return label


def _of_our_own(label: GivenLabel, evidence: str, before: str, fields: Fields) -> GivenLabel:
    """A person's label as a file of ours has it: with its share, its votes and its evidence."""
    if evidence not in EVIDENCE:
        return NO_LABEL
    shares = (_number(fields.get(f"{before}{name}")) for name in ("given", "toxicity"))
    share = next((share for share in shares if share is not None), label.share)
    return replace(label, share=share, votes=_integer(fields.get(f"{before}votes")) or label.votes, whose=evidence)


def _by_public_rule(fields: Fields, known: str, policy: Policy) -> GivenLabel | None:
    """What the rules of a public set say of a record; None where they leave it to its columns."""
    label = policy.label_record(known, fields)
    if label.excluded or label.weak:
        return NO_LABEL
    votes = policy.votes(known, fields)
    if votes is not None:
        return _voted(*votes, label.category, policy)
    if label.toxic is not None:
        return GivenLabel(float(label.toxic), 1, label.category if label.toxic else None)
    return None


def _voted(share: float, total: int, category: str | None, policy: Policy) -> GivenLabel:
    return GivenLabel(share, min(total, MOST_VOTES), category if share > policy.share else None)


def _read(
    column: str, value: Json, pinned: Mapping[str, bool], policy: Policy, answers: bool | None
) -> tuple[bool | None, str | None]:
    """Whether a cell says toxic, and of which category; null where it says neither."""
    if pinned:
        return pinned.get(_spelling(value)), None
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None  # several labels on one record prove nothing
    label = policy.label(asked(column), value)
    if label.toxic is None and answers is not None:
        label = policy.label(PROVEN[answers], value)
    if label.toxic is None and _denied(value, policy):
        return False, None
    return (None if label.excluded or label.weak else label.toxic), label.category


def _denied(value: Json, policy: Policy) -> bool:
    """Whether a word denies one that says toxic, as "unharmful" does."""
    word = re.sub(r"[-_\s]", "", value.casefold()) if isinstance(value, str) else ""
    denials = ("un", *policy.polarity.negations)
    return any(word.startswith(denial) and policy.label("", word.removeprefix(denial)).toxic is True for denial in denials)


def _category(fields: Fields, roles: Roles, policy: Policy) -> str | None:
    column = roles.column("category")
    return None if column is None else policy.label(leaf(column), fields.get(column)).category


def _counts(fields: Fields, roles: Roles) -> tuple[int, int] | None:
    """Votes that say toxic and all votes, where the record counts them."""
    toxic, total, other = (
        None if column is None else _integer(fields.get(column))
        for column in (roles.column("votes_toxic"), roles.column("votes_total"), roles.column("votes_non_toxic"))
    )
    if toxic is None:
        return None
    everything = total if total is not None else None if other is None else toxic + other
    return (toxic, everything) if everything is not None and 0 <= toxic <= everything else None


def _ballots(fields: Fields, roles: Roles, pinned: Mapping[str, bool], policy: Policy) -> tuple[int, int] | None:
    """The same, where the record holds what each annotator said; one who abstains does not count."""
    columns = _ballot_columns(fields, roles)
    if not columns:
        return None
    ballots: list[bool] = []
    for column in columns:
        value = fields.get(column)
        for vote in _listed(value) if len(columns) == 1 else [value]:
            toxic, _ = _read(column, vote, pinned, policy, roles.answers)
            ballots += [] if toxic is None else [toxic]
    return sum(ballots), len(ballots)


def _ballot_columns(fields: Fields, roles: Roles) -> tuple[str, ...]:
    """The columns of votes, those within an object one by one, and of them only people's."""
    columns = roles.columns.get("votes", ())
    if not columns or not columns[0].endswith(".*"):
        return columns
    within = sorted(column for column in fields if column.startswith(columns[0][:-1]))
    return tuple(column for column in within if label_name(column).speaker != "machine")


def _listed(value: Json) -> Sequence[Json]:
    """A list of votes, also as text: '["toxic", "ok"]', "['toxic', 'ok']", "toxic;ok"."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            parsed: Json = json.loads(text)
            return parsed if isinstance(parsed, list) else [parsed]
        except (ValueError, RecursionError):
            text = text[1:-1]
    return [part.strip().strip("'\"") for part in re.split(r"[;|,]", text)]


def _says_something(value: Json, policy: Policy) -> bool:
    return value is not None and str(value).strip().casefold() not in (*policy.words.abstain, "-1", "-1.0", "[]", "{}")


def _number(value: Json) -> float | None:
    """A share in [0, 1]."""
    if isinstance(value, bool) or not re.fullmatch(r"[01](?:\.\d+)?(?:[eE]-?\d+)?", str(value).strip()):
        return None
    number = float(str(value))
    return number if 0 <= number <= 1 else None


def _integer(value: Json) -> int | None:
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text.removesuffix(".0")) if re.fullmatch(r"\d{1,9}(\.0)?", text) else None


def _spelling(value: Json) -> str:
    return str(value).strip().casefold()
