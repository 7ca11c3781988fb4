"""What the licences of the sources ask of whoever passes a dataset on, and where two of them cannot both be met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from curate.core.manifest import Obligations


@dataclass(frozen=True)
class Terms:
    """What one licence asks, as its own text has it.

    Attributes:
        attribution: name the source (and, for software licences, keep the notice).
        share_alike: what is made of it carries the same licence.
        non_commercial: no commercial use.
        no_derivatives: nothing that is made of it may be passed on.
    """

    attribution: bool = True
    share_alike: bool = False
    non_commercial: bool = False
    no_derivatives: bool = False


TERMS = {
    **dict.fromkeys(("cc0-1.0", "pddl", "unlicense"), Terms(attribution=False)),
    **dict.fromkeys(
        ("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "odc-by"), Terms()
    ),
    **dict.fromkeys(("cc-by-sa-3.0", "cc-by-sa-4.0", "odbl", "gpl-3.0"), Terms(share_alike=True)),
    "cc-by-nc-4.0": Terms(non_commercial=True),
    "cc-by-nc-sa-4.0": Terms(share_alike=True, non_commercial=True),
    "cc-by-nd-4.0": Terms(no_derivatives=True),
}
"""Licences by the Hub's names; each as its text reads, as far as data that is cleaned, cut and mixed is concerned."""


def obligations(licences: Iterable[str]) -> Obligations:
    """What all of them together ask, and what of it cannot be met at once; a reading aid, not advice of a lawyer.

    Args:
        licences: names as the sources state them, "" where a source states none.

    Returns:
        Duties and conflicts, one line each.
    """
    stated = sorted({name.strip() for name in licences if name.strip()}, key=str.lower)
    known = {name: TERMS[name.lower()] for name in stated if name.lower() in TERMS}
    silent = any(not name.strip() for name in licences)
    return Obligations(list(_duties(known)), list(_conflicts(stated, known, silent=silent)))


def _duties(known: dict[str, Terms]) -> Iterator[str]:
    for flag, duty in (
        ("attribution", "name the source and keep its notice"),
        ("share_alike", "pass on what is made of it under the same licence"),
        ("non_commercial", "no commercial use"),
        ("no_derivatives", "pass on nothing that is made of it"),
    ):
        asking = [name for name, terms in known.items() if getattr(terms, flag)]
        if asking:
            yield f"{duty} ({', '.join(asking)})"


def _conflicts(stated: list[str], known: dict[str, Terms], *, silent: bool) -> Iterator[str]:
    alike = [name for name, terms in known.items() if terms.share_alike]
    families = {name.lower().rsplit("-", 1)[0] for name in alike}  # another version of one licence is no conflict
    if len(families) > 1:
        yield f"{' and '.join(alike)} each ask that the whole carry their own licence; keep their rows apart"
    limiting = [name for name, terms in known.items() if terms.non_commercial and not terms.share_alike]
    free = [name for name in alike if not known[name].non_commercial]
    if limiting and free:
        yield f"{', '.join(free)} opens commercial use to everyone, {', '.join(limiting)} forbids it; keep their rows apart"
    for name in (name for name, terms in known.items() if terms.no_derivatives):
        yield f"{name} forbids passing on what is made of it, and these rows were cleaned and cut; leave them out"
    for name in (name for name in stated if name.lower() not in TERMS):
        yield f"{name}: terms unknown here; read them before passing its rows on"
    if silent:
        yield "some sources state no licence: nothing says that their rows may be passed on"
