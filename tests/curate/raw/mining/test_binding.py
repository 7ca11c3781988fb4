"""Whose label, of what: shapes written by hand, with the right values beforehand, and names, orders and nestings at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.core.policy import load_policy
from curate.raw.inspect import inspect
from curate.raw.mining.columns import flat
from curate.raw.mining.labels.binding import BY_MACHINE, OF_NO_TEXT, OF_PROMPT, SCORE
from curate.raw.mining.labels.given import DISAGREE, UNPROVEN, abstentions, given_label
from curate.raw.mining.labels.label_names import is_score, label_name
from curate.raw.mining.roles import Roles, find_roles
from curate.raw.sources import SourceSettings

Mine = Callable[..., list[list[dict[str, Any]] | str]]
Record = dict[str, Any]
EVERY = SourceSettings(match="*")

CASES = ((True, False), (True, True), (False, True), (False, False), (True, False), (False, True))
"""Whether the reply is toxic, and whether the prompt is: mostly the opposite."""

FLOATS = (0.912, 0.873, 0.081, 0.134, 0.777, 0.2115)
"""A machine's scores of the reply."""


def asks(at: int) -> str:
    return f"which bus goes to the market number {at}"


def replies(at: int) -> str:
    return f"take the blue one at stop {at} lah"


def word(toxic: bool) -> str:
    return "unsafe" if toxic else "safe"


def talk(**labels: Callable[[bool, bool, int], Any]) -> list[Record]:
    return [
        {"prompt": asks(at), "response": replies(at)} | {name: of(r, p, at) for name, of in labels.items()}
        for at, (r, p) in enumerate(CASES)
    ]


def text(**labels: Callable[[bool, bool, int], Any]) -> list[Record]:
    return [{"text": replies(at)} | {name: of(r, p, at) for name, of in labels.items()} for at, (r, p) in enumerate(CASES)]


def made(record: Callable[[bool, bool, int], Record]) -> list[Record]:
    return [record(r, p, at) for at, (r, p) in enumerate(CASES)]


def R(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - the reply's label as 0 or 1
    return int(r)


def P(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - the prompt's
    return int(p)


def RW(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - the reply's as a word
    return word(r)


def PW(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - the prompt's
    return word(p)


def NOT(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - the opposite of the reply's, as a word: who reads it is wrong
    return word(not r)


def F(r: bool, p: bool, at: int) -> Any:  # noqa: N802 - a score of the reply
    return FLOATS[at]


def chosen_by(value: str, status: str = "submitted") -> Record:
    return {"value": value, "user_id": "u1", "status": status}


def studio(name: str, choice: str, to: str = "text") -> Record:
    return {"type": "choices", "from_name": name, "to_name": to, "value": {"choices": [choice]}}


Shape = tuple[list[Record], str, tuple[str, ...]]
"""The records, the evidence of every reply's label ("none" where it must abstain), and the reasons that must be told."""

SHAPES: dict[str, Shape] = {
    # labels of both texts, by name
    "prompt label first": (talk(prompt_label=PW, response_label=RW), "human", (OF_PROMPT,)),
    "response label first": (talk(response_label=RW, prompt_label=PW), "human", (OF_PROMPT,)),
    "numbers": (talk(prompt_toxic=P, response_toxic=R), "human", (OF_PROMPT,)),
    "safety": (talk(prompt_safety=PW, response_safety=RW), "human", (OF_PROMPT,)),
    "toxicity": (talk(prompt_toxicity=P, response_toxicity=R), "human", (OF_PROMPT,)),
    "harm labels": (
        talk(
            prompt_harm_label=lambda r, p, at: "harmful" if p else "unharmful",
            response_refusal_label=lambda r, p, at: "compliance" if p else "refusal",
            response_harm_label=lambda r, p, at: "harmful" if r else "unharmful",
        ),
        "human",
        (OF_PROMPT,),
    ),
    "is prompt toxic": (talk(is_prompt_toxic=P, is_response_toxic=R), "human", (OF_PROMPT,)),
    "answer": (talk(question_is_toxic=P, answer_is_toxic=R), "human", (OF_PROMPT,)),
    "safe": (talk(is_prompt_safe=lambda r, p, at: not p, is_response_safe=lambda r, p, at: not r), "human", (OF_PROMPT,)),
    "camel": (talk(promptLabel=PW, responseLabel=RW), "human", (OF_PROMPT,)),
    "spaces": (talk(**{"Prompt Label": PW, "Response Label": RW}), "human", (OF_PROMPT,)),
    "label first": (talk(label_prompt=PW, label_response=RW), "human", (OF_PROMPT,)),
    "of": (talk(toxicity_of_prompt=P, toxicity_of_response=R), "human", (OF_PROMPT,)),
    "other words": (talk(instruction_unsafe=P, completion_unsafe=R), "human", (OF_PROMPT,)),
    "input and output": (
        made(lambda r, p, at: {"input": asks(at), "output": replies(at), "input_label": word(p), "output_label": word(r)}),
        "human",
        (OF_PROMPT,),
    ),
    "model output": (
        made(
            lambda r, p, at: {
                "user_input": asks(at),
                "model_output": replies(at),
                "user_input_toxicity": int(p),
                "model_output_toxicity": int(r),
            }
        ),
        "human",
        (OF_PROMPT,),
    ),
    "bare beside the prompt's": (talk(prompt_label=PW, label=RW), "human", (OF_PROMPT,)),
    "bare": (talk(label=RW), "human", ()),
    "bare is_toxic": (talk(is_toxic=R), "human", ()),
    "only the response's": (talk(response_toxic=R), "human", ()),
    # labels of the prompt alone
    "only the prompt's": (talk(prompt_toxicity=P), "none", (OF_PROMPT,)),
    "only the prompt's word": (talk(prompt_label=PW), "none", (OF_PROMPT,)),
    "only user's": (talk(user_toxicity=P), "none", (OF_PROMPT,)),
    "toxic chat": (
        made(
            lambda r, p, at: {
                "conv_id": f"c{at}",
                "user_input": asks(at),
                "model_output": replies(at),
                "human_annotation": True,
                "toxicity": int(p),
                "jailbreaking": 0,
                "openai_moderation": "[]",
            }
        ),
        "none",
        (OF_PROMPT,),
    ),
    "both in one name": (talk(prompt_response_label=PW), "none", (OF_NO_TEXT,)),
    "only the prompt's votes": (talk(prompt_votes=lambda r, p, at: [word(p)] * 3), "none", (OF_PROMPT,)),
    # nested
    "nested": (
        made(
            lambda r, p, at: {
                "prompt": {"text": asks(at), "label": word(p)},
                "response": {"text": replies(at), "label": word(r)},
            }
        ),
        "human",
        (OF_PROMPT,),
    ),
    "nested, reply first": (
        made(
            lambda r, p, at: {
                "response": {"label": word(r), "text": replies(at)},
                "prompt": {"label": word(p), "text": asks(at)},
            }
        ),
        "human",
        (OF_PROMPT,),
    ),
    "nested label only of the prompt": (
        made(lambda r, p, at: {"prompt": {"text": asks(at), "toxic": int(p)}, "response": {"text": replies(at)}}),
        "none",
        (OF_PROMPT,),
    ),
    "labels nested": (talk(labels=lambda r, p, at: {"prompt": word(p), "response": word(r)}), "human", (OF_PROMPT,)),
    "toxicity nested": (talk(toxicity=lambda r, p, at: {"prompt": p, "response": r}), "human", (OF_PROMPT,)),
    "all in data": (
        made(lambda r, p, at: {"data": {"prompt": asks(at), "prompt_toxic": p, "reply": replies(at), "reply_toxic": r}}),
        "human",
        (OF_PROMPT,),
    ),
    "votes of the prompt": (
        made(
            lambda r, p, at: {
                "prompt": {"text": asks(at), "votes": [word(p)] * 3},
                "response": {"text": replies(at), "votes": [word(r)] * 3},
            }
        ),
        "votes",
        (OF_PROMPT,),
    ),
    "votes of both, by name": (
        talk(prompt_votes=lambda r, p, at: [word(p)] * 3, response_votes=lambda r, p, at: [word(r)] * 3),
        "votes",
        (OF_PROMPT,),
    ),
    "annotators of both": (
        talk(prompt_annotator_1=PW, prompt_annotator_2=PW, response_annotator_1=RW, response_annotator_2=RW),
        "votes",
        (OF_PROMPT,),
    ),
    "counts of both": (
        talk(
            prompt_toxic_votes=lambda r, p, at: 5 * p,
            prompt_total_votes=lambda r, p, at: 5,
            response_toxic_votes=lambda r, p, at: 4 * r,
            response_total_votes=lambda r, p, at: 4,
        ),
        "votes",
        (OF_PROMPT,),
    ),
    # one text
    "text": (text(label=RW), "human", ()),
    "a prompt by itself": (made(lambda r, p, at: {"prompt": replies(at), "prompt_label": word(r)}), "human", ()),
    "a text and a response's label": (text(response_label=NOT), "none", (OF_NO_TEXT,)),
    "a text and a prompt's label": (text(prompt_toxic=P), "none", (OF_NO_TEXT,)),
    "a prompt and a response's label": (
        made(lambda r, p, at: {"prompt": asks(at), "response_label": word(r)}),
        "none",
        (OF_NO_TEXT,),
    ),
    "an answered comment": (
        made(
            lambda r, p, at: {
                "id": str(at),
                "parent_comment": asks(at),
                "reply": replies(at),
                "parent_comment_toxic": p,
                "reply_toxic": r,
            }
        ),
        "human",
        (OF_PROMPT,),
    ),
    # people and machines
    "weak beside human": (text(weak_label=NOT, human_label=RW), "human", ()),
    "gpt4 beside human": (text(gpt4_toxic=lambda r, p, at: int(not r), human_toxic=R), "human", ()),
    "human first": (text(human_toxic=R, gpt4_toxic=lambda r, p, at: int(not r)), "human", ()),
    "gold beside predicted": (text(predicted_label=NOT, gold_label=RW), "human", ()),
    "unnamed beside llm": (text(llm_label=NOT, label=RW), "human", ()),
    "weak alone": (text(weak_label=NOT), "none", (BY_MACHINE,)),
    "gpt4 alone": (text(gpt4_toxic=R), "none", (BY_MACHINE,)),
    "LLMLabel alone": (text(LLMLabel=RW), "none", (BY_MACHINE,)),
    "llama guard alone": (talk(llama_guard_label=RW), "none", (BY_MACHINE,)),
    "model prediction": (text(model_prediction=RW), "none", (BY_MACHINE,)),
    "is_toxic_pred": (text(is_toxic_pred=R), "none", (BY_MACHINE,)),
    "nested predictions": (text(predictions=lambda r, p, at: {"toxic": int(r)}), "none", (BY_MACHINE,)),
    "several machines are no votes": (text(gpt4_toxic_1=R, gpt4_toxic_2=R), "none", (BY_MACHINE,)),
    "machines among annotators": (
        text(annotations=lambda r, p, at: {"w1": word(r), "gpt4": word(not r), "claude": word(not r)}),
        "human",
        (),
    ),
    "perspective": (text(perspective_toxicity=F), "none", (BY_MACHINE,)),
    "toxicity as floats": (text(toxicity=F), "none", (SCORE,)),
    "toxicity score": (text(toxicity_score=F), "none", (SCORE,)),
    "score of the response": (talk(response_toxicity=F, prompt_toxicity=F), "none", (SCORE, OF_PROMPT)),
    "floats beside people": (text(toxicity=F, human_label=RW), "human", ()),
    "share of annotators": (text(toxic_fraction_of_annotators=lambda r, p, at: (0.9 if r else 0.1) + at / 100), "human", ()),
    "label and its source": (
        text(label=RW, label_source=lambda r, p, at: "llm_jury"),
        "none",
        (BY_MACHINE,),
    ),
    "label by people": (text(label=RW, label_source=lambda r, p, at: "human"), "human", ()),
    "our own, by people": (text(toxicity=R, evidence=lambda r, p, at: "human"), "human", ()),
    "our own, by votes": (text(toxicity=lambda r, p, at: 0.75 if r else 0.2, evidence=lambda r, p, at: "votes"), "votes", ()),
    "our own, by a machine": (text(toxicity=F, evidence=lambda r, p, at: "machine"), "none", (BY_MACHINE,)),
    "aegis": (
        talk(
            prompt_label=PW,
            response_label=RW,
            prompt_label_source=lambda r, p, at: "human",
            response_label_source=lambda r, p, at: "llm_jury",
        ),
        "machine",
        (OF_PROMPT,),
    ),
    "people who disagree": (text(is_toxic=R, unsafe=lambda r, p, at: int(not r)), "none", (DISAGREE,)),
    "one kind and the whole": (text(is_toxic=R, threat=lambda r, p, at: 0), "human", ()),
    "one kind against the whole": (text(is_toxic=lambda r, p, at: 0, hateful=lambda r, p, at: 1), "none", (DISAGREE,)),
    "kinds only": (text(hateful=lambda r, p, at: 0, offensive=R), "human", ()),
    "kinds only, the other way": (text(offensive=R, hateful=lambda r, p, at: 0), "human", ()),
    "in one word": (talk(promptlabel=PW, responselabel=RW), "human", (OF_PROMPT,)),
    "a machine in one word": (text(gptlabel=NOT, humanlabel=RW), "human", ()),
    "an annotator's": (talk(gpt_label=NOT, annotator_label=RW), "human", ()),
    "labeler": (text(label=RW, labeler=lambda r, p, at: "gpt-4o"), "none", (BY_MACHINE,)),
    "annotation model": (text(label=RW, annotation_model=lambda r, p, at: "qwen2"), "none", (BY_MACHINE,)),
    "detoxify": (text(detoxify=F), "none", (BY_MACHINE,)),
    "by whom, nested": (text(toxicity=lambda r, p, at: {"gpt4": int(not r), "human": int(r)}), "human", ()),
    "by a machine, nested": (text(toxicity=lambda r, p, at: {"gpt4": int(r)}), "none", (BY_MACHINE,)),
    "a classifier's answer": (text(label=RW, score=F), "none", (BY_MACHINE,)),
    "true and predicted": (text(y_pred=NOT, y_true=RW), "human", ()),
    "an annotator's, in words": (text(**{"GPT-4's label": NOT, "Annotator's label": RW}), "human", ()),
    "p_toxic": (text(p_toxic=F), "none", (SCORE,)),
    "nothing proves it": (text(label=R), "none", (UNPROVEN,)),
    # forms of tools
    "argilla, flat": (
        text(
            **{
                "toxicity.suggestion": NOT,
                "toxicity.responses": lambda r, p, at: [word(r), word(r), word(not r)],
                "toxicity.responses.status": lambda r, p, at: ["submitted", "submitted", "discarded"],
            }
        ),
        "votes",
        (),
    ),
    "argilla, nested": (
        made(
            lambda r, p, at: {
                "fields": {"text": replies(at)},
                "suggestions": {"is_toxic": {"value": word(not r), "score": 0.6, "agent": "m"}},
                "responses": {"is_toxic": [chosen_by(word(r)), chosen_by(word(not r), "draft")]},
            }
        ),
        "human",
        (),
    ),
    "argilla, of prompt and response": (
        made(
            lambda r, p, at: {
                "fields": {"prompt": asks(at), "response": replies(at)},
                "responses": {"prompt_safety": [chosen_by(word(p))], "response_safety": [chosen_by(word(r))]},
            }
        ),
        "human",
        (),
    ),
    "argilla, a suggestion alone": (text(**{"toxicity.suggestion": RW}), "none", (BY_MACHINE,)),
    "argilla, before 2": (text(**{"label": lambda r, p, at: [chosen_by(word(r))], "label-suggestion": NOT}), "human", ()),
    "label studio": (
        made(lambda r, p, at: {"data": {"text": replies(at)}, "annotations": [{"result": [studio("toxicity", word(r))]}]}),
        "human",
        (),
    ),
    "label studio, two people": (
        made(
            lambda r, p, at: {
                "data": {"text": replies(at)},
                "annotations": [{"result": [studio("t", word(r))], "was_cancelled": False}] * 2,
                "predictions": [{"result": [studio("t", word(not r))]}],
            }
        ),
        "votes",
        (),
    ),
    "label studio, of two texts": (
        made(
            lambda r, p, at: {
                "data": {"prompt": asks(at), "response": replies(at)},
                "annotations": [{"result": [studio("safety", word(p), "prompt"), studio("safety2", word(r), "response")]}],
            }
        ),
        "human",
        (),
    ),
    "label studio, cancelled": (
        made(
            lambda r, p, at: {
                "data": {"text": replies(at)},
                "annotations": [{"result": [studio("t", word(r))], "was_cancelled": at < 5}],
            }
        )[:5],
        "none",
        (),
    ),
    "prodigy": (text(label=lambda r, p, at: "TOXIC", answer=lambda r, p, at: "accept" if r else "reject"), "human", ()),
    "prodigy, one kind rejected": (text(label=lambda r, p, at: "HATE", answer=lambda r, p, at: "reject"), "none", (UNPROVEN,)),
    "prodigy, ignored": (text(label=lambda r, p, at: "TOXIC", answer=lambda r, p, at: "ignore"), "none", ()),
    "jigsaw": (
        text(toxic=lambda r, p, at: 0, severe_toxic=lambda r, p, at: 0, obscene=lambda r, p, at: 0, threat=R, insult=R),
        "human",
        (),
    ),
    "jigsaw, not judged": (
        text(**dict.fromkeys(("toxic", "severe_toxic", "obscene", "threat", "insult"), lambda r, p, at: -1)),
        "none",
        (),
    ),
    "a list of annotators": (
        text(annotations=lambda r, p, at: [{"annotator": who, "label": word(r)} for who in ("w1", "w2")]),
        "votes",
        (),
    ),
    "a machine on the list": (
        text(
            annotations=lambda r, p, at: [
                {"annotator": "w1", "is_toxic": r},
                {"annotator": "gpt-4o", "is_toxic": not r},
            ]
        ),
        "human",
        (),
    ),
    "votes per annotator": (text(annotator1_toxic=R, annotator2_toxic=R, annotator3_toxic=R), "votes", ()),
}


def understood(records: list[Record]) -> Roles:
    return find_roles([flat(one) for one in records], "jsonl", EVERY, load_policy(), "a.jsonl")


def test_there_are_at_least_sixty_shapes() -> None:
    assert len(SHAPES) >= 60


@pytest.mark.parametrize("name", SHAPES)
def test_a_label_is_of_its_text_and_by_who_gave_it_or_abstains(mine: Mine, name: str) -> None:
    records, evidence, reasons = SHAPES[name]
    rows = [row for outcome in mine(records) if isinstance(outcome, list) for row in outcome]
    assert len(rows) == len(records)
    for row, (toxic, _) in zip(rows, CASES, strict=False):
        if evidence == "none":
            assert (row["given"], row["evidence"]) == (None, None)
        else:
            assert row["given"] is not None and (row["given"] > 0.5) == toxic and row["evidence"] == evidence
    told: set[str] = set()
    for fields in records:
        told |= set(abstentions(flat(fields), understood(records), EVERY, load_policy(), evidence != "none"))
    assert told >= set(reasons)


@pytest.mark.parametrize("name", [name for name, (_, evidence, reasons) in SHAPES.items() if evidence == "none" and reasons])
def test_every_abstention_is_shown(tmp_path: Path, name: str) -> None:
    records, _, reasons = SHAPES[name]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    page = inspect(tmp_path)
    for reason in reasons:
        assert reason in page or (reason == UNPROVEN and "of unproven side" in page)


PAIR_LABELS = [("chosen_safe", "rejected_safe"), ("is_chosen_safe", "is_rejected_safe")]


@pytest.mark.parametrize(("of_chosen", "of_rejected"), PAIR_LABELS)
def test_a_sides_label_is_that_sides(mine: Mine, of_chosen: str, of_rejected: str) -> None:
    record = {"prompt": asks(1), "rejected": "not this way", "chosen": replies(1), of_rejected: 0, of_chosen: 1, "prompt_safe": 0}
    assert [(row["side"], row["given"]) for row in mine([record])[0] if isinstance(row, dict)] == [
        ("chosen", 0.0),
        ("rejected", 1.0),
    ]


def test_a_bare_label_beside_a_pair_is_of_neither_side(mine: Mine) -> None:
    record = {"prompt": asks(1), "rejected": "not this way", "chosen": replies(1), "label": "toxic"}
    assert [row["given"] for row in mine([record])[0] if isinstance(row, dict)] == [None, None]
    assert OF_NO_TEXT in understood([record]).apart.values()


def test_the_recipe_may_take_a_machines_word_and_it_stays_a_machines(mine: Mine) -> None:
    pinned = SourceSettings(match="*", columns={"label": "gpt4_toxic"})
    (row,) = mine([{"text": replies(1), "gpt4_toxic": 1}], pinned)[0]
    assert isinstance(row, dict) and (row["given"], row["evidence"]) == (1.0, "machine")


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ([0, 1, "0", True], False),
        ([0.1, 0.9, 0.1], False),
        ([0.333, 0.667, 1.0], False),
        ([0.6667], False),
        ([0.1, 0.2, 0.9], True),
        (["0,8312"], True),
        ([0.0000213], True),
        ([], False),
    ],
)
def test_finer_numbers_than_votes_give_are_a_score(values: list[Any], score: bool) -> None:
    assert is_score(values) is score


def test_civil_comments_numbers_are_shares_where_its_header_or_its_path_proves_it() -> None:
    detoxify = made(
        lambda r, p, at: {"text": replies(at), "toxicity": FLOATS[at], "severe_toxicity": 0.01, "identity_attack": 0.0}
    )
    shares = [{"target": one["toxicity"], "comment_text": one["text"], "toxicity_annotator_count": 10} for one in detoxify]
    for records, place, label in (
        (shares, "train.csv", ("target",)),
        (detoxify, "raw/civil_comments.jsonl", ("toxicity",)),
        (detoxify, "raw/a.jsonl", ()),
    ):
        roles = find_roles(records, "jsonl", EVERY, load_policy(), place)
        assert roles.columns.get("label", ()) == label
        read = [given_label(one, roles, EVERY, load_policy()).share for one in records]
        assert read == ([float(toxic) for toxic, _ in CASES] if label else [None] * len(CASES))


def test_our_own_corpus_comes_back_with_its_evidence(mine: Mine) -> None:
    ours = {"prompt": asks(0), "completion": replies(0), "toxic": True, "label": False, "score_head": 0.31}
    people = ours | {"given": 0.67, "votes": 3, "evidence": "votes", "toxicity": 0.67}
    machine = ours | {"given": None, "votes": 0, "evidence": "machine", "toxicity": 0.913}
    (first,), (second,) = mine([people, machine])
    assert isinstance(first, dict) and isinstance(second, dict)
    assert (first["given"], first["votes"], first["evidence"]) == (0.67, 3, "votes")
    assert (second["given"], second["evidence"]) == (None, None)


def test_words_of_a_name() -> None:
    name = label_name("gpt4_response_label", ["prompt", "response"])
    assert (name.text, name.speaker) == ("response", "machine")
    assert label_name("model_output_label", ["user_input", "model_output"]).speaker is None
    assert label_name("model response label").speaker is None
    assert label_name("human_vs_gpt_label").speaker == "machine"


STYLES: list[Callable[[list[str]], str]] = [
    "_".join,
    " ".join,
    "-".join,
    lambda words: "_".join(words).upper(),
    lambda words: " ".join(words).title(),
    lambda words: words[0] + "".join(one.title() for one in words[1:]),
    lambda words: "".join(one.title() for one in words),
]
ASKED = ["prompt", "question", "instruction", "query", "user_input"]
ANSWERED = ["response", "completion", "reply", "answer", "model_output"]
OF_PROMPTS = ["prompt", "question", "instruction", "query", "user_input", "user"]
OF_REPLIES = ["response", "completion", "reply", "answer", "output", "assistant"]
NAMED = ["{} label", "{} safety", "label {}", "{} harm label", "is {} toxic", "{} is toxic", "{} final label"]
MACHINES = ["gpt4 {} label", "{} label predicted", "weak label", "llm label", "{} toxicity score", "openai moderation label"]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_orders_synonyms_and_nestings_bind_alike(data: st.DataObject) -> None:
    draw = data.draw
    style = draw(st.sampled_from(STYLES))
    asking, answering = draw(st.sampled_from(ASKED)), draw(st.sampled_from(ANSWERED))
    pattern = draw(st.sampled_from(NAMED))
    of_prompt, of_reply = (
        style(pattern.format(draw(st.sampled_from(names)).replace("_", " ")).split()) for names in (OF_PROMPTS, OF_REPLIES)
    )
    machine = style(draw(st.sampled_from(MACHINES)).format("response").split())
    asked_of, answer_of = style(asking.split("_")), style(answering.split("_"))
    nesting = draw(st.sampled_from(["flat", "data", "sides"]))
    order = draw(st.permutations(range(5)))
    records: list[Record] = []
    for at, (r, p) in enumerate(CASES):
        cells = [
            (asked_of, asks(at)),
            (answer_of, replies(at)),
            (of_prompt, word(p)),
            (of_reply, word(r)),
            (machine, word(not r)),
        ]
        fields = dict(cells[place] for place in order)
        if nesting == "sides":
            outer = {asked_of: {"text": asks(at), "label": word(p)}, answer_of: {"label": word(r), "text": replies(at)}}
            fields = {name: outer.get(name, value) for name, value in fields.items() if name not in (of_prompt, of_reply)}
        records.append({"data": fields} if nesting == "data" else fields)
    roles = understood(records)
    before = "data." if nesting == "data" else ""
    own, apart = (f"{answer_of}.label", f"{asked_of}.label") if nesting == "sides" else (before + of_reply, before + of_prompt)
    assert roles.kind == "completion"
    assert roles.columns["label"] == (own,)
    assert roles.apart[apart] == OF_PROMPT
    assert roles.apart[before + machine] in (BY_MACHINE, SCORE)


BY_PEOPLE = ["human label", "is toxic human", "gold label", "annotator toxicity", "label by experts", "crowd safety", "label"]
BY_MACHINES = [
    "gpt4 toxic",
    "llm label",
    "label claude",
    "weak label",
    "toxic pred",
    "toxicity model",
    "suggested label",
    "silver label",
]


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(BY_PEOPLE), st.sampled_from(BY_MACHINES), st.sampled_from(STYLES), st.booleans(), st.booleans())
def test_people_win_over_a_machine_whatever_the_names_and_the_order(
    people: str, machine: str, style: Callable[[list[str]], str], first: bool, nested: bool
) -> None:
    of_people, of_machine = style(people.split()), style(machine.split())
    records: list[Record] = []
    for at, (toxic, _) in enumerate(CASES):
        cells = [(of_people, word(toxic)), (of_machine, word(not toxic)), ("text", replies(at))]
        fields = dict(cells if first else reversed(cells))
        records.append({"fields": fields} if nested else fields)
    roles = understood(records)
    assert [given_label(flat(one), roles, EVERY, load_policy()).share for one in records] == [float(toxic) for toxic, _ in CASES]
    alone = [{name: value for name, value in flat(one).items() if name.removeprefix("fields.") != of_people} for one in records]
    roles = understood(alone)
    assert [given_label(one, roles, EVERY, load_policy()).share for one in alone] == [None] * len(CASES)
    assert BY_MACHINE in roles.apart.values()
