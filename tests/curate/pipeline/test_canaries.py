"""Planted personal data through a whole build: none comes out in the dataset, its pages, the log, the terminal or an error.

The generator knows nothing of the patterns: check letters are computed here by their own route, and carriers and disguises
are its own. `MARGINS_TORTURE=1` plants 10,000.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

TORTURE = os.environ.get("MARGINS_TORTURE", "0") == "1"
COUNT = 10_000 if TORTURE else 1_000
CLEAN = COUNT
RECIPE = "stages: [repair, pii, column, consensus: {labelers: [column]}]\npairing: [same_prompt]\n"

Draw = random.Random


@dataclass(frozen=True)
class Canary:
    """What is planted, its type, and the piece of it that may not be there afterwards, spelt without marks."""

    text: str
    kind: str
    secret: str


def digits(draw: Draw, count: int, first: str = "0123456789") -> str:
    return draw.choice(first) + "".join(draw.choice("0123456789") for _ in range(count - 1))


def check_letter(series: str, body: str) -> str:
    """By the letters' remainders one at a time, not by a table of weights."""
    remainder = {"S": 0, "T": 4, "F": 0, "G": 4, "M": 3}[series]
    for weight, digit in zip([2, 7, 6, 5, 4, 3, 2], body, strict=True):
        for _ in range(int(digit)):
            remainder = (remainder + weight) % 11
    letters = {"S": "ABCDEFGHIZJ", "T": "ABCDEFGHIZJ", "F": "KLMNPQRTUWX", "G": "KLMNPQRTUWX", "M": "KLJNPQRTUWX"}[series]
    return letters[10 - remainder]


def nric(draw: Draw) -> Canary:
    series, body = draw.choice("STFGM"), digits(draw, 7)
    whole = series + body + check_letter(series, body)
    spelt = draw.choice(
        [
            whole,
            whole,
            whole.lower(),
            f"{whole[:1]} {whole[1:8]} {whole[8:]}",
            f"{whole[:5]} {whole[5:]}",
            f"{whole[:1]}-{whole[1:8]}-{whole[8:]}",
            f"{whole[:4]}-{whole[4:8]}-{whole[8:]}",
            f"{whole[:1]}{whole[1:4]}.{whole[4:8]}{whole[8:]}",
            f"NRIC:{whole}",
            f"ic no.{whole}",
            f"FIN#{whole}",
        ]
    )
    return Canary(spelt, "NRIC", body)


def uen(draw: Draw) -> Canary:
    body = digits(draw, 8, "012345")
    weights = [10, 4, 9, 3, 8, 2, 7, 1]
    letter = "XMKECAWLJDB"[sum(w * int(d) for w, d in zip(weights, body, strict=True)) % 11]
    return Canary(draw.choice([f"{body}{letter}", f"UEN {body}{letter}", f"uen: {body}{letter.lower()}"]), "UEN", body)


def phone(draw: Draw) -> Canary:
    while True:
        body = digits(draw, 8, "689")
        if len(set(body)) > 3 and "00" not in body:
            break
    a, b = body[:4], body[4:]
    spelt = [body, f"{a} {b}", f"{a}-{b}", f"+65 {a} {b}", f"+65{body}", f"+65-{a}-{b}", f"(+65) {a} {b}", f"65 {a} {b}"]
    spelt += [f"hp {body}", f"HP:{a} {b}", f"tel.{body}", f"{a}.{b}", f"{body[:2]} {body[2:4]} {body[4:6]} {body[6:]}"]
    spelt += [f"wa.me/65{body}", f"whatsapp {body}", f"tel:+65{body}", f"0065 {a} {b}"]
    return Canary(draw.choice(spelt), "PHONE", body)


def abroad(draw: Draw) -> Canary:
    body = digits(draw, 7, "23456789")
    spelt = [
        f"+60 12-{body[:3]} {body[3:]}",
        f"+44 7{body[:3]} {body[3:]}12",
        f"+1 (415) {body[:3]}-{body[3:]}",
        f"+62 812 {body[:3]} {body[3:]}9",
    ]
    return Canary(draw.choice(spelt), "PHONE", body)


def name_of(draw: Draw) -> str:
    parts = ["wei", "siti", "kumar", "huiling", "ahmad", "jolene", "priya", "boon", "farah", "desmond"]
    return draw.choice(parts) + draw.choice(["", "_", "."]) + draw.choice(parts) + digits(draw, 4, "123456789")


def email(draw: Draw) -> Canary:
    name, host = name_of(draw), draw.choice(["gmail.com", "yahoo.com.sg", "example.org", "mail.example.net", "u.nus.edu"])
    spoken = host.replace(".", " dot ")
    spelt = [
        f"{name}@{host}",
        f"{name}@{host}",
        f"<{name}@{host}>",
        f"mailto:{name}@{host}",
        f"{name} @ {host}",
        f"{name}[at]{host}",
    ]
    spelt += [
        f"{name} (at) {host}",
        f"{name}(at){host.replace('.', '(dot)')}",
        f"{name} at {spoken}",
        f"{name}@{host.replace('.', '[.]')}",
    ]
    return Canary(draw.choice(spelt), "EMAIL", name)


def url(draw: Draw) -> Canary:
    piece = name_of(draw)
    spelt = [
        f"https://example.com/u/{piece}",
        f"http://{piece.replace('_', '-')}.example.sg/",
        f"www.example.com/{piece}",
        f"t.me/{piece}",
    ]
    spelt += [
        f"https://maps.example/?q={piece}&z=3",
        f"instagram.com/{piece}",
        f"hxxps://example[.]com/{piece}",
        f"example.com.sg/{piece}",
    ]
    text = draw.choice(spelt)
    return Canary(text, "URL", piece)


def handle(draw: Draw) -> Canary:
    name = name_of(draw)
    return Canary(draw.choice([f"@{name}", f"@{name}", f"ig: @{name}", f"tele @{name}"]), "HANDLE", name)


def card(draw: Draw) -> Canary:
    body = digits(draw, 15, "45")
    total = sum(int(d) if at % 2 else sum(divmod(2 * int(d), 10)) for at, d in enumerate(body))
    whole = body + str(-total % 10)
    groups = [whole[at : at + 4] for at in range(0, 16, 4)]
    return Canary(draw.choice([whole, " ".join(groups), "-".join(groups), f"card {whole}"]), "CARD", whole)


def account(draw: Draw) -> Canary:
    body = digits(draw, 9, "123456789")
    spelt = [
        f"{body[:3]}-{body[3:8]}-{body[8]}",
        f"POSB {body}",
        f"acct {body}",
        f"account no: {body}",
        f"DBS {body[:3]}-{body[3:8]}-{body[8]}",
    ]
    return Canary(draw.choice(spelt), "ACCOUNT", body)


def address(draw: Draw) -> Canary:
    block, street = (
        digits(draw, 3, "123456789"),
        draw.choice(["Tampines Street 81", "Bedok Reservoir Road", "Jurong West Ave 5", "Yishun Ring Road"]),
    )
    unit = f"#{digits(draw, 2, '01')}-{digits(draw, 3, '123456789')}"
    spelt = [
        f"Blk {block} {street} {unit}",
        f"Block {block} {street}",
        f"blk {block} {street.lower()} {unit}",
        f"{block} {street} {unit}",
        unit,
    ]
    text = draw.choice(spelt)
    return Canary(text, "ADDRESS", unit if unit in text else f"{block} {street}")


def postcode(draw: Draw) -> Canary:
    body = draw.choice(["01", "12", "23", "35", "46", "52", "60", "73", "80"]) + digits(draw, 4)
    return Canary(
        draw.choice([f"S({body})", f"S{body}", f"Singapore {body}", f"singapore {body}", f"postal code {body}"]), "POSTCODE", body
    )


def plate(draw: Draw) -> Canary:
    first, second, body = draw.choice("BCDEFGJKLM"), draw.choice("ABCDEFGHJKLM"), digits(draw, 4, "123456789")
    values = [ord(first) - 64, ord(second) - 64, *map(int, body)]
    letter = "AZYXUTSRPMLKJHGEDCB"[sum(w * v for w, v in zip([9, 4, 5, 4, 3, 2], values, strict=True)) % 19]
    text = draw.choice(["S{}{}{}{}", "S{}{} {} {}", "s{}{}{}{}"]).format(first, second, body, letter)
    return Canary(text.lower() if text[0] == "s" else text, "PLATE", f"{first}{second}{body}{letter}")


MAKERS: tuple[Callable[[Draw], Canary], ...] = (
    *(nric, nric, nric, uen, phone, phone, phone, abroad, email, email, url, handle, card, account, address, postcode, plate),
)


def disguised(draw: Draw, canary: Canary) -> str:
    """What exports and phones do to a text, and people who hide a number from a filter but not from a reader."""
    text = canary.text
    way = draw.randrange(12)
    numeric = canary.kind in ("NRIC", "PHONE", "CARD", "UEN", "ACCOUNT", "POSTCODE")
    if way == 0 and len(text) > 4:
        at = draw.randrange(2, len(text) - 1)
        return text[:at] + draw.choice(["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad"]) + text[at:]
    if way == 1 and numeric:
        return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)
    if way == 2:
        return text.replace(" ", draw.choice(["\u00a0", "\u2009", "\u202f", "  "]) if numeric else "\u00a0")
    if way == 3:
        return text.replace("-", draw.choice(["\u2010", "\u2011", "\u2013", "\u2212", "\u00b7"])) if numeric else text
    if way == 4:
        return text.replace("@", "&#64;").replace("-", "&#45;")
    if way == 5 and numeric:
        return "".join(chr(0x1D7CE + int(one)) if one.isdigit() else one for one in text)
    if way == 6:
        return f"<b>{text}</b>"
    return text


CARRIERS = (
    "Eh {} this one is mine lah",
    "{}",
    "contact: {}, thanks hor",
    "Last week he ask for mine so I give ({}) then regret",
    "My details\n{}\nplease check leh",
    "aiyo 我的是 {} 你看一下",
    'she type "{}" in the group chat, siao liao',
    "😂😂 {} 😂 really one",
    "can or not?? {}!!",
    "ref {}.",
    "nombor saya {} ya, terima kasih",
)
WORDS = "kopi laksa durian orchid mango papaya lychee pandan sambal satay rojak kaya prata chendol".split()
CLEAN_CARRIERS = (
    "The {w} costs $%d.%02d, last time only $%d lah",
    "Meet at %d:%02d, bring %d {w} can",
    "Bus %d then change to %d, reach in %d min for {w}",
    "Score was %d-%d, then %d more for {w}",
    "On %d/%d/20%02d we ate {w}",
    "Level %d exam, chapter %d, page %d about {w}",
    "I got %d cats, %d dogs, %d {w} lol",
    "{w} at 8%d%%, up %d.%d points",
    "Module CS%d0%d0 and {w} %d credits",
    "wah %dk followers, %d likes, %d {w} emoji 🥭",
)


def clean(draw: Draw, at: int) -> str:
    text = draw.choice(CLEAN_CARRIERS) % tuple(draw.randrange(1, 60) for _ in range(3))
    return text.format(w=draw.choice(WORDS)) + f" {marker(at)}"


def marker(at: int) -> str:
    """A word of its own for each row: letters only, so that nothing takes it for data."""
    letters = []
    for _ in range(5):
        at, rest = divmod(at, 20)
        letters.append("bdfghjklmnprstvwxyzc"[rest] + "aeiou"[rest % 5])
    return "".join(letters)


def bare(text: str) -> str:
    """Letters and digits only, in one case: what a reader could put together again."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text)).casefold()


def write(raw: Path, entries: list[dict[str, Any]]) -> None:
    """A third each as lines of JSON, as a table, and as a thread of posts; and lines that are broken."""
    raw.mkdir()
    third = len(entries) // 3
    (raw / "a.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries[:third]), "utf-8")
    with (raw / "b.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, entries[0])
        writer.writeheader()
        writer.writerows(entries[third : 2 * third])
    (raw / "c.json").write_text(json.dumps(entries[2 * third :], ensure_ascii=False), "utf-8")
    broken = [json.dumps(entry)[:-3] for entry in entries[: len(entries) // 50]]
    (raw / "d.jsonl").write_text("\n".join([*broken, *(json.dumps(entry) for entry in entries[:3])]), "utf-8")


@dataclass(frozen=True)
class Made:
    planted: dict[str, Canary]
    clean: set[str]
    corpus: pl.DataFrame
    said: str
    files: dict[str, bytes]


def curate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "curate", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = tmp_path_factory.mktemp("canaries")
    draw = Draw(77)
    planted, entries = {}, []
    for at in range(COUNT):
        canary = MAKERS[at % len(MAKERS)](draw)
        text = draw.choice(CARRIERS).format(disguised(draw, canary))
        planted[marker(at)] = canary
        sides = (f"tell me {marker(at)}", text) if at % 3 else (text, f"noted {marker(at)}")
        entries.append(
            {"prompt": sides[0], "completion": sides[1], "is_toxic": at % 2, "author": canary.text, "phone": canary.text}
        )
    for at in range(COUNT, COUNT + CLEAN):
        entries.append(
            {"prompt": "what now?", "completion": clean(draw, at), "is_toxic": at % 2, "author": "someone", "phone": ""}
        )
    draw.shuffle(entries)
    write(place / "raw", entries)
    (place / "recipe.yaml").write_text(RECIPE)
    build = ("build", "--source", place / "raw", "--out", place / "out", "--recipe", place / "recipe.yaml")
    refused = curate(*build, "--set", "quarantine_limit=0")
    done = curate(*build)
    assert refused.returncode == 3 and done.returncode == 0, done.stderr[-2000:]
    shown = [curate("show", place / "out"), curate("verify", place / "out"), curate("inspect", place / "raw")]
    corpus = pl.concat([pl.read_parquet(path) for path in (place / "out" / "corpus").glob("*.parquet")])
    explained = curate("explain", place / "out", corpus["id"][0])
    said = "".join(one.stdout + one.stderr for one in (refused, done, explained, *shown))
    files = {str(path.relative_to(place)): path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()}
    files["log"] = (place / "out.work" / "build.log.jsonl").read_bytes()
    return Made(planted, {marker(at) for at in range(COUNT, COUNT + CLEAN)}, corpus, said, files)


def texts_of(corpus: pl.DataFrame) -> list[tuple[str, list[str]]]:
    """All text of each row, and the types replaced in it."""
    prompts = [" ".join(message["content"] for message in prompt) for prompt in corpus["prompt"]]
    texts = [f"{prompt} | {completion}" for prompt, completion in zip(prompts, corpus["completion"], strict=True)]
    return list(zip(texts, corpus["pii"].to_list(), strict=True))


def test_no_planted_value_is_readable_in_its_row(made: Made) -> None:
    missed: Counter[str] = Counter()
    named: Counter[str] = Counter()
    seen: set[str] = set()
    examples = []
    for text, types in texts_of(made.corpus):
        word = next((word for word in re.findall("[a-z]{10}", text) if word in made.planted), None)
        if word is None:
            continue
        seen.add(word)
        canary = made.planted[word]
        out = bare(canary.secret) in bare(text)
        missed[canary.kind] += out
        named[canary.kind] += canary.kind in types
        if out:
            examples.append(f"{canary.kind}: {text}")
    assert len(seen) == COUNT
    planted = Counter(canary.kind for canary in made.planted.values())
    if TORTURE:
        found = sum(planted.values()) - missed.total()
        sys.__stdout__.write(
            f"{COUNT:,} canaries: {found / COUNT:.2%} replaced; NRIC {1 - missed['NRIC'] / planted['NRIC']:.2%}\n"
        )
    assert +missed == Counter(), (dict(+missed), examples[:8])
    assert named["NRIC"] >= 0.995 * planted["NRIC"], "an NRIC or FIN with the right check letter is called one"


def test_no_planted_value_is_in_any_file_page_log_or_line_of_the_terminal(made: Made) -> None:
    pages = {name: data.decode("utf-8") for name, data in made.files.items() if not name.endswith(".parquet")}
    pages["terminal"] = made.said
    for output in ("paired", "unpaired", "sft", "corpus", "similarity"):
        paths = [name for name in made.files if name.startswith(f"out/{output}/")]
        frames = [pl.read_parquet(made.files[name]) for name in paths]
        pages[output] = "\n".join(str(row) for frame in frames for row in frame.rows())
    raw = {canary.text for canary in made.planted.values()} | {
        c.secret for c in made.planted.values() if c.kind in ("EMAIL", "HANDLE", "CARD", "URL")
    }
    found = {(name, text) for name, page in pages.items() for text in raw if text in page}
    assert found == set()


def test_clean_rows_are_left_alone(made: Made) -> None:
    touched = [
        text
        for text, types in texts_of(made.corpus)
        if types and any(word in made.clean for word in re.findall("[a-z]{10}", text))
    ]
    if TORTURE:
        sys.__stdout__.write(f"{CLEAN:,} clean rows: {len(touched) / CLEAN:.2%} touched\n")
    assert len(touched) <= 0.005 * CLEAN, touched[:8]
