"""The words in a column's name, or in a cell, that say of which text a label speaks and whose word it is: the whole table."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MACHINE = _words(
    """
    machine model models system baseline classifier detector ensemble algorithm heuristic rule rules regex
    lexicon keyword ai llm llms bot api moderation guard guardrail jury auto automatic automated automatically
    weak silver noisy pseudo distilled synthetic pred preds predict predicted prediction predictions inferred
    estimated suggestion suggestions suggested gpt chatgpt davinci openai oai claude anthropic gemini gemma
    palm bard llama llamaguard wildguard shieldgemma lionguard granite mistral mixtral qwen qwenguard deepseek
    grok cohere vicuna azure perspective detoxify hatebert toxicbert bert roberta deberta distilbert xlm svm
    logreg vader textblob
    """
)
"""Of a machine that judged. Digits do not count: "gpt4" is "gpt"."""

SCORES = _words("p score scores scored prob probs probability probabilities confidence confidences logit logits proba likelihood")
"""Of a number that nobody gave by hand, unless a word of `PEOPLE` or `SHARES` stands beside it."""

PEOPLE = _words(
    """
    human humans people person annotator annotators annotated annotation annotations rater raters rated worker
    workers crowd crowdsourced mturk expert experts coder coders gold golden truth manual manually moderator
    moderators reviewer reviewers reviewed adjudicated true volunteer responses votes vote voted
    """
)
"""Of people who judged; with a word of `MACHINE` beside it, the machine counts."""

SHARES = _words("share shares fraction fractions proportion ratio percent percentage votes vote annotators raters people")
"""Of a number that counts people: a share of annotators is no score."""

PROMPT = _words("prompt prompts instruction question query input user request parent context history premise")
COMPLETION = _words("completion response reply answer output generation continuation assistant chatbot")
"""Of the text that a label speaks of."""

SPEAKING = _words("model bot ai assistant chatbot")
"""Words that, right before one of `COMPLETION`, say whose text it is, not whose label: "model output"."""

LABEL = _words(
    """
    label labels labelled labeled class flag flagged verdict decision judgement judgment annotation
    annotations safety harm gold y
    """
)
"""Of labels, whatever they are of."""

FILLERS = _words(
    "is was are has the of for final overall majority value text comment post tweet message sentence body utterance content by s"
)
"""Beside a label's own words they say nothing."""

CONTAINERS = _words("responses suggestion suggestions value values choice choices")
"""Last parts of a nested column under which a question's answer stands: what it asks is the part before."""

GUESSES = _words("prediction predictions pred preds suggestion suggestions")
"""Of columns that are a machine's labels by that name alone."""

SOURCES = _words("source sources origin by agent type model")
"""Last words of a column whose cells tell who gave the label: "label_source", "labelled by"."""

ANNOTATORS = _words("annotator labeler labeller rater annotated labeled labelled")
"""Words of such a column, alone or before one of `SOURCES`."""

WHOLE = _words("toxic toxicity safe safety unsafe harmful harmless clean benign acceptable civil")
"""Of toxicity as a whole; any other word of it names one kind, and what is not of one kind may be of another."""
