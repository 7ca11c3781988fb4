"""Personal data: planted canaries never come out, ordinary text is left alone, numbers are per row."""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from curate.core.schema import MESSAGE
from curate.stages.pii import Pii
from curate.text.personal import checksums as checksums
from curate.text.personal.patterns import KINDS, find, shadowed
from curate.text.personal.pseudonyms import pseudonymised
from curate.text.repair import repaired

CARRIERS = (
    "eh {} lah",
    "{}",
    "you can find me at {} tomorrow ok?",
    "wah lau ({}) so long one",
    "last time mine was {}, now not anymore",
    "bro: {}! confirm plus chop",
    "need to ask ah ma first... {} then how",
    "她说 {} 可以吗",
)


def kinds(text: str) -> list[str]:
    return [piece.kind for piece in find(text)]


# --- canaries: each returns (text to plant, kind, characters that must be gone) ---

Canary = tuple[str, str, str]


def nric(draw: random.Random) -> Canary:
    series, digits = draw.choice("STFGM"), f"{draw.randrange(10**7):07d}"
    value = series + digits + checksums.nric(series, digits)
    forms = (
        value,
        value.lower(),
        f"{value[0]} {digits} {value[-1]}",
        f"{value[0]}{digits}-{value[-1]}",
        f"{value[0]}-{digits}-{value[-1]}",
    )
    wide = "".join(chr(ord(letter) + 0xFEE0) for letter in value)
    return draw.choice((*forms, wide, " ".join(value))), "NRIC", digits


def bad_nric(draw: random.Random) -> Canary:
    series, digits = draw.choice("STFGM"), f"{draw.randrange(10**7):07d}"
    letter = draw.choice([letter for letter in "ABCDEFGHIJKLMNPQRTUWXZ" if letter != checksums.nric(series, digits)])
    return series + digits + letter, "ID", digits


def uen(draw: random.Random) -> Canary:
    body = draw.choice(
        (
            f"{draw.randrange(10**8):08d}",
            f"{draw.randrange(1960, 2025)}{draw.randrange(10**5):05d}",
            f"T{draw.randrange(8, 25):02d}LL{draw.randrange(10**4):04d}",
        )
    )
    return body + checksums.uen(body), "UEN", body


def phone(draw: random.Random) -> Canary:
    digits = draw.choice("3689") + f"{draw.randrange(1, 10**7):07d}"
    a, b = digits[:4], digits[4:]
    if a.endswith("00") or len(set(digits)) < 3:
        return phone(draw)
    pairs = [digits[i : i + 2] for i in range(0, 8, 2)]
    forms = [
        digits,
        f"{a} {b}",
        f"{a}-{b}",
        f"{a}.{b}",
        f"+65 {a} {b}",
        f"+65{digits}",
        f"(65) {a} {b}",
        f"65-{a}-{b}",
        f"6{digits[1:]}",
        " ".join(pairs),
        "-".join(pairs),
        " ".join(digits),
        ".".join(digits),
    ]
    forms += ["".join(chr(ord(digit) + 0xFEE0) for digit in digits), f"{digits[:3]} {digits[3:6]} {digits[6:]}", f"hp:{digits}"]
    form = draw.choice(forms)
    return form, "PHONE", re.sub(r"\D", "", shadowed(form))[-8:]


def spoken_phone(draw: random.Random) -> Canary:
    names = "zero one two three four five six seven eight nine".split()
    text = " ".join([draw.choice(("six", "eight", "nine")), *(draw.choice(names) for _ in range(7))])
    return text, "PHONE", text


def foreign_phone(draw: random.Random) -> Canary:
    a, b, c = draw.randrange(200, 999), draw.randrange(200, 999), draw.randrange(1000, 9999)
    form = draw.choice(
        (f"+1 {a} {b} {c}", f"+1-{a}-{b}-{c}", f"({a}) {b}-{c}", f"+60 12-{b} {c}", f"+44 20 7{a} {c}", f"012-{b} {c}")
    )
    return form, "PHONE", str(c)


def email(draw: random.Random) -> Canary:
    name = draw.choice(("tan.wei", "kopi_lover", "mei-ling", "ravi")) + str(draw.randrange(10, 10**5))
    host, tld = draw.choice(("example", "mail.example", "test-host")), draw.choice(("com", "com.sg", "org", "net"))
    spelt = tld.replace(".", " dot ")
    forms = (
        f"{name}@{host}.{tld}",
        f"{name} @ {host}.{tld}",
        f"{name}[at]{host}[dot]{tld.split('.')[0]}",
        f"{name} (at) {host}.{tld}",
        f"{name} at {host.split('.')[0]} dot {spelt}",
        f"{name} at gmail dot com",
        f"{name} at hotmail.com",
        f"{name.upper()}@{host.upper()}.{tld}",
    )
    return draw.choice(forms), "EMAIL", name


def url(draw: random.Random) -> Canary:
    path = f"{draw.choice('abcdef')}{draw.randrange(10**6)}"
    return (
        draw.choice(
            (
                f"https://example.com/{path}?q=1&r=2",
                f"http://t.example/{path}",
                f"www.example.sg/{path}",
                f"example.com.sg/{path}",
                f"bit.ly/{path}",
                f"hxxp://example.org/{path}",
            )
        ),
        "URL",
        path,
    )


def handle(draw: random.Random) -> Canary:
    name = draw.choice(("laksa_fan", "encikzul", "kopi.siew")) + str(draw.randrange(10**4))
    return f"@{name}", "HANDLE", name


def card(draw: random.Random) -> Canary:
    body = draw.choice("45") + f"{draw.randrange(10**14):014d}"
    digits = body + next(str(check) for check in range(10) if checksums.luhn(body + str(check)))
    groups = [digits[i : i + 4] for i in range(0, 16, 4)]
    return draw.choice((digits, " ".join(groups), "-".join(groups))), "CARD", digits


def address(draw: random.Random) -> Canary:
    block, unit = draw.randrange(1, 999), f"#{draw.randrange(1, 40):02d}-{draw.randrange(10, 999)}"
    street = draw.choice(("Ang Mo Kio Ave 3", "Bedok North Street 1", "Example Road", "Jalan Contoh", "Toa Payoh Lorong 5"))
    forms = (
        f"Blk {block} {street} {unit}",
        f"blk {block} {street.lower()} {unit}",
        f"{block} {street}",
        f"Block {block}A",
        unit,
        f"{block} {street}, {unit}",
    )
    form = draw.choice(forms)
    return form, "ADDRESS", form


def postcode(draw: random.Random) -> Canary:
    digits = f"{draw.randrange(1, 80):02d}{draw.randrange(10**4):04d}"
    return (
        draw.choice((f"S{digits}", f"S({digits})", f"s {digits}", f"Singapore {digits}", f"postal code {digits}")),
        "POSTCODE",
        digits,
    )


def account(draw: random.Random) -> Canary:
    digits = f"{draw.randrange(1, 10**9):09d}1"
    forms = (
        f"{digits[:3]}-{digits[3:8]}-{digits[8]}",
        f"{digits[:3]}-{digits[3:9]}-{digits[9]}",
        f"acct no {digits}",
        f"posb account: {digits[:9]}",
    )
    form = draw.choice(forms)
    return form, "ACCOUNT", re.sub(r"[^\d-]", "", form)


def plate(draw: random.Random) -> Canary:
    prefix, digits = "S" + draw.choice("BCDEFGJKLMN") + draw.choice("ABCDEFGHJKLMN"), str(draw.randrange(10, 10**4))
    letter = checksums.plate(prefix, digits)
    return (
        draw.choice((prefix + digits + letter, f"{prefix} {digits} {letter}", (prefix + digits + letter).lower())),
        "PLATE",
        digits + letter,
    )


MAKERS = (nric, bad_nric, uen, phone, spoken_phone, foreign_phone, email, url, handle, card, address, postcode, account, plate)


def test_two_thousand_canaries_of_all_kinds_are_replaced() -> None:
    draw = random.Random(20)
    missed: Counter[str] = Counter()
    named: Counter[str] = Counter()
    for maker in MAKERS:
        for _ in range(200):
            canary, kind, secret = maker(draw)
            [after], types = pseudonymised([draw.choice(CARRIERS).format(canary)])
            missed[maker.__name__] += canary in after or secret.lower() in after.lower() or not types
            named[maker.__name__] += kind in types
    assert +missed == Counter(), f"canaries that came through: {dict(+missed)}"
    assert named["nric"] == 200, "every NRIC or FIN with the right checksum is named one"
    assert all(named[maker.__name__] >= 180 for maker in MAKERS), dict(named)


def test_canaries_survive_no_dirt_that_repair_undoes() -> None:
    draw = random.Random(21)
    for _ in range(100):
        canary, _, secret = phone(draw)
        dirty = canary[:3] + "\u200b" + canary[3:]
        assert secret not in pseudonymised([repaired(f"call {dirty} ok")])[0][0]


@pytest.mark.parametrize("valid", ["S1234567D", "T1234567J", "F1234567N", "G1234567X", "M5000003J"])
def test_published_examples_of_every_series_are_valid(valid: str) -> None:
    assert kinds(valid) == ["NRIC"]
    wrong = valid[:-1] + ("A" if valid[-1] != "A" else "B")
    assert kinds(f"ref {wrong}") == ["ID"]


def test_a_masked_nric_is_replaced_too() -> None:
    assert pseudonymised(["S****567D and sxxxx567d"])[0] == ["<ID_1> and <ID_2>"]


ORDINARY = [
    "meet at 9.30pm or 10:45, 31-12-2014, 2014-12-31, 1998-2014",
    "salary 3000-4000, price $98765432, $12,345,678.90 and 8888 points",
    "score 21-19 21-17, 50% off, 4D number 1234",
    "8 7 6 5 4 3 2 1 go!",
    "@ 7pm @home @school @7pm",
    "ok.me too. haha.my god. so nice.co",
    "<#> <DECIMAL> <TIME> <name>",
    "CS1010S and MA1101R very hard",
    "level 5 block party, unit test 04 56",
    "I got 3 kids, 12 cats and 100000000 problems",
    "nine lives, six of one",
    "dot the i and meet at the usual",
    "bus 196 to Clementi Ave, then MRT",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert find(text) == []


def test_the_same_value_has_the_same_number_through_a_row() -> None:
    texts = ["call 9123 4567 or 81234567", "+65 9123-4567 busy, <PHONE_7> also", "try 91234567 or 6222 1234"]
    after, types = pseudonymised(texts)
    assert after == ["call <PHONE_8> or <PHONE_9>", "<PHONE_8> busy, <PHONE_7> also", "try <PHONE_8> or <PHONE_10>"]
    assert types == ["PHONE"] * 5


def test_replacing_twice_replaces_nothing_more() -> None:
    draw = random.Random(22)
    for maker in MAKERS:
        for _ in range(20):
            once, _ = pseudonymised([draw.choice(CARRIERS).format(maker(draw)[0])])
            assert pseudonymised(once) == (once, [])


def test_the_stage_numbers_prompt_and_completion_together_and_lists_types() -> None:
    prompt = [
        {"role": "user", "content": "my ic S1234567D"},
        {"role": "assistant", "content": "noted"},
        {"role": "user", "content": "and a@b.com"},
    ]
    rows = pl.DataFrame(
        {"prompt": [prompt, [], prompt], "completion": ["s1234567d? mail c@b.com", "nothing here", None]},
        schema={"prompt": pl.List(MESSAGE), "completion": pl.String},
    )
    result = Pii()(rows)
    assert result["completion"].to_list() == ["<NRIC_1>? mail <EMAIL_2>", "nothing here", ""]
    assert [message["content"] for message in result["prompt"][0]] == ["my ic <NRIC_1>", "noted", "and <EMAIL_1>"]
    assert result["pii"].to_list() == [["EMAIL", "EMAIL", "NRIC", "NRIC"], [], ["EMAIL", "NRIC"]]
    assert set(result["pii"].explode().drop_nulls()) <= set(KINDS)
    assert Pii()(rows.clear()).height == 0
    assert Pii()(rows[1:2]).row(0) == result.row(1)


def test_hostile_text_takes_time_in_proportion_to_its_length() -> None:
    for piece in ("a.", "a@", "1 ", "9", "S1", "www.", "blk 1 ", "Aa ", "a dot ", "six ", "1-", "(", "+1 "):
        started = time.process_time()
        find(piece * (100_000 // len(piece)))
        assert time.process_time() - started < 10, repr(piece)


def test_false_positives_on_public_text_are_at_most_one_in_two_hundred(shared: Path) -> None:
    def texts(name: str, column: str) -> list[str]:
        with gzip.open(shared / name, "rt", encoding="utf-8") as lines:
            return [json.loads(line)[column] for line in lines]

    for name, column in (
        ("singlish_treebank_dev/singlish_stb_dev.jsonl.gz", "text"),
        ("sgd_dialogue_pairs/sgd_pairs_20k.jsonl.gz", "prompt"),
    ):
        found = [bool(find(text)) for text in texts(name, column)]
        assert sum(found) / len(found) <= 0.005, f"{name}: {sum(found)} of {len(found)}, most of them true addresses"
