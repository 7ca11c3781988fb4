"""Write the word lists that ship with the labeler `lexicon`, encoded, from the public lists and from our own.

    python scripts/build_lexicon.py --data ../shared/data

Each list stays in a file of its own, because each has its own licence: see `curate/labelers/lexicon/wordlists/LICENCES.md`. No
list is weighted by labelled texts: a lexicon
that was fitted to the sets that fit the other labelers would be wrong where they are.
"""

from __future__ import annotations

import argparse
import codecs
import csv
from dataclasses import replace
from pathlib import Path

from curate.labelers.lexicon.obfuscation import plain
from curate.labelers.lexicon.terms import SUFFIX, WORDLISTS, Term, write_list

OWN = Path(__file__).with_name("own_terms.rot13")

SURGE = {
    "racial / ethnic slurs": "hateful",
    "sexual orientation / gender": "hateful",
    "religious offense": "hateful",
    "mental disability": "hateful",
    "physical disability": "hateful",
    "physical attributes": "insults",
    "other / general insult": "insults",
    "animal references": "insults",
    "bodily fluids / excrement": "insults",
    "political": "insults",
    "sexual anatomy / sexual acts": "sexual",
}
LISTED = 0.3  # LDNOOBW says no severity, and many of its words have harmless senses: as much as Surge's mild ones
FOREIGN = ("zh", "fil", "hi")  # languages that Singapore and its neighbours mix with English; no Malay, Tamil or Hokkien there
TWICE = 0.3  # more for a word that both lists name: those are the ones that get thrown at people
SINGLISH = 0.1  # Wiktionary calls most of these senses mildly derogatory, and their words have others


def main() -> None:
    """Write every list."""
    parser = argparse.ArgumentParser(description="Write the word lists of the labeler lexicon.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the public lists")
    data: Path = parser.parse_args().data
    lists = {
        "surge": heavier(surge(data), ldnoobw(data)),
        "ldnoobw": ldnoobw(data),
        "wiktionary": wiktionary(data),
        "own": own(OWN),
    }
    for name, terms in lists.items():
        write_list(WORDLISTS / f"{name}{SUFFIX}", terms)
        print(f"{name}: {len(terms):,} terms, {(WORDLISTS / f'{name}{SUFFIX}').stat().st_size:,} bytes")  # noqa: T201


def surge(data: Path) -> list[Term]:
    """English forms; the mean severity of its raters, 1 to 3, becomes a weight of 0.1 to 0.9.

    A form with two categories is an insult where one of them says so: a rude word for a body part, thrown at somebody.
    """
    found = []
    with (data / "lexicon_surge_profanity" / "profanity_en.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            kinds = [SURGE[row[f"category_{at}"]] for at in (1, 2, 3) if row[f"category_{at}"] in SURGE]
            category = next((kind for kind in ("hateful", "insults") if kind in kinds), kinds[0] if kinds else None)
            found.append(Term(plain(row["text"]), round(0.1 + 0.4 * (float(row["severity_rating"]) - 1.0), 2), category))
    return _once(found)


def heavier(terms: list[Term], others: list[Term]) -> list[Term]:
    """Terms, with more weight where the other list names them too."""
    named = {term.text for term in others}
    return [replace(term, weight=round(min(0.95, term.weight + TWICE), 2)) if term.text in named else term for term in terms]


def ldnoobw(data: Path) -> list[Term]:
    """English without a category, and the neighbours' languages; single Chinese characters stand in too many harmless words."""
    found = []
    for language in ("en", *FOREIGN):
        lines = (data / "lexicon_ldnoobw" / language).read_text("utf-8").splitlines()
        texts = [plain(line) for line in lines]
        found += [Term(text, LISTED, None) for text in texts if len(text) > 1]
    return _once(found)


def wiktionary(data: Path) -> list[Term]:
    """Headwords of the senses that are marked derogatory or vulgar."""
    with (data / "singlish_wiktionary" / "singlish_lexicon_flat.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["flag_vulgar_or_derogatory"] == "1"]
    return _once([Term(plain(row["term"]), SINGLISH, "insults") for row in rows])


def own(path: Path) -> list[Term]:
    """Lines of `weight, category, term`, turned by thirteen letters so that nobody reads them by accident."""
    found = []
    for line in codecs.decode(path.read_text("utf-8"), "rot13").splitlines():
        if line.strip() and not line.startswith("#"):
            weight, category, text = line.split(maxsplit=2)
            found.append(Term(plain(text), float(weight), category))
    return _once(found)


def _once(terms: list[Term]) -> list[Term]:
    heaviest: dict[str, Term] = {}
    for term in terms:
        if term.text and (term.text not in heaviest or term.weight > heaviest[term.text].weight):
            heaviest[term.text] = term
    return list(heaviest.values())


if __name__ == "__main__":
    main()
