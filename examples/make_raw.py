"""Write examples/raw: a small folder of raw text, messy as real dumps are, drawn from grammar.txt with a fixed seed.

    python examples/make_raw.py [FOLDER]

Every text is made up for this project. Whether a text is truly toxic is known by construction and checked against truth.txt
for every text, but stands nowhere in examples/raw: there, some rows carry people's votes and labels, the rest none.
"""

from __future__ import annotations

import csv
import html
import io
import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from language import Dialogue, Draw, Language, Reply

SEED = 20260914
NEWLINE = b"\n"

FORUM = {"provoking": 520, "benign": 175}  # threads of each kind
MODEL_OUTPUTS = {"provoking": 840, "benign": 320}  # prompts of each kind; likewise below
SAMPLES = {"provoking": 500, "benign": 205}
CHAT = {"provoking": 90, "benign": 50}
PREFERENCES = 150
NEUTRAL = 120  # questions of each neutral family

PAIRED = {"forum": 0.85, "samples": 0.4, "chat": 0.0}  # share of provoking prompts with toxic and clean replies
SECOND_BENIGN = {"forum": 1.0, "samples": 0.4, "chat": 0.0}  # share of benign prompts with two replies
MORE = 0.3  # share of paired prompts with one more reply
MORE_TOXIC = 0.9  # share of these that are toxic
TOXIC_ALONE = 0.95  # share of provoking prompts with one reply whose reply is toxic
VOTED = 0.4  # share of forum replies with votes
LABELLED = 0.25  # share of sampled completions with a label
WRONG_VOTE = 0.03  # share of single votes that are wrong
DIRTY = 0.16  # share of forum bodies with one kind of dirt
PERSONAL = 0.03  # share of replies with fabricated personal data
COPIES = {"exact": 60, "spelling": 45, "near": 55}  # forum replies posted twice
FOREIGN = 40  # forum replies in other languages
BROKEN = 6  # forum lines cut short

SPELLINGS = {
    True: ("toxic", "toxic", "Toxic ", "TOXIC", "offensive", "insult"),
    False: ("ok", "ok", "OK", "not toxic", "Not toxic ", "non-toxic"),
}
ADJECTIVES = (
    "kopi",
    "sleepy",
    "lucky",
    "tropical",
    "midnight",
    "crispy",
    "void_deck",
    "quiet",
    "rainy",
    "sambal",
    "pandan",
    "turbo",
)
ANIMALS = ("otter", "hornbill", "gecko", "pangolin", "mynah", "koel", "civet", "tapir", "crab", "heron", "macaw", "terrapin")


def user(draw: Draw) -> str:
    """An invented user name."""
    return f"{draw.pick(ADJECTIVES)}_{draw.pick(ANIMALS)}"


def nric(number: int) -> str:
    """A made-up identity number (S00…) with a valid checksum, so that a checker takes it for one."""
    digits = f"{number:07d}"
    total = sum(int(digit) * weight for digit, weight in zip(digits, (2, 7, 6, 5, 4, 3, 2), strict=True))
    return f"S{digits}{'JZIHGFEDCBA'[total % 11]}"


def personal(draw: Draw, text: str) -> str:
    """The text with one piece of fabricated personal data behind it."""
    number = draw.below(9000) + 1000
    return f"{text} " + draw.pick(
        (
            f"pm me at +65 9123 {number}",
            f"call 8123 {number} can",
            f"my ic {nric(number % 100)}",
            f"email {user(draw)}@example.com",
            f"ask @{user(draw)}",
            f"see https://example.com/t/{number}?ref=share",
        )
    )


def mojibake(text: str) -> str:
    """UTF-8 read as Windows-1252, of a text with a curly quote or dots."""
    curly = text.replace("'", "\u2019") if "'" in text else text.rstrip(".") + "\u2026"
    return curly.encode().decode("cp1252")


def dirty(draw: Draw, text: str) -> str:
    """The text with one kind of dirt that the repair stage takes away."""
    middle = text.find(" ", len(text) // 2)
    kinds: tuple[Callable[[], str], ...] = (
        lambda: html.escape(text.replace(",", " &", 1) if "," in text else f"{text} & so"),
        lambda: html.escape(html.escape(f'"{text}"')),
        lambda: f"<p>{text[:middle]}<br>{text[middle + 1 :]}</p>" if middle > 0 else f"{text}<br/>",
        lambda: mojibake(text),
        lambda: text[:2] + "\u200b" + text[2:middle] + "\ufeff" + text[middle:],
        lambda: f"  {text.replace(' ', chr(0xA0), 1)} \t ",
        lambda: text.replace(" ", "   ", 2) + "\r\n",
    )
    return draw.pick(kinds)()


def votes(draw: Draw, toxic: bool) -> list[str]:
    """Labels of three to five annotators, each in somebody's spelling."""
    return [draw.pick(SPELLINGS[toxic != draw.chance(WRONG_VOTE)]) for _ in range(3 + draw.below(3))]


def respelt(draw: Draw, text: str) -> str:
    """The same text in other case and spacing."""
    return draw.pick((text.upper(), text.capitalize(), f" {text.replace(' ', '  ', 3)} ", text.title()))


def nearly(draw: Draw, text: str) -> str:
    """The same text with a small change at its end."""
    return text.rstrip(".") + draw.pick(("!!", " ...", " la", " :)", "~~", " ok"))


def truths(draw: Draw, kind: str, where: str) -> list[bool]:
    """Truth of each reply to one prompt."""
    if kind == "benign":
        return [False] * (1 + draw.chance(SECOND_BENIGN[where]))
    if draw.chance(PAIRED[where]):
        return draw.shuffled([True, False, *([draw.chance(MORE_TOXIC)] if draw.chance(MORE) else [])])
    return [draw.chance(TOXIC_ALONE)]


def dialogues(language: Language, draw: Draw, counts: dict[str, int], where: str) -> list[Dialogue]:
    """As many dialogues of each kind as `counts` says, mixed."""
    made = [language.dialogue(draw, kind, truths(draw, kind, where)) for kind, count in counts.items() for _ in range(count)]
    return [made[position] for position in draw.shuffled(range(len(made)))]


def forum(language: Language) -> dict[str, bytes]:
    """Two dumps of threads: opening posts, replies (some with votes), replies to replies, copies, other languages, cut lines."""
    draw = language.draw("forum")
    threads = dialogues(language, draw, FORUM, "forum")
    clock = datetime(2021, 3, 1, 8)
    posts: list[list[dict[str, Any]]] = []
    for thread in threads:
        clock += timedelta(minutes=draw.below(400))
        title = draw.pick(("{} again", "about {}", "question on {}", "{}, how?", "my day with {}")).format(thread.thing)
        opening = {"title": title, "body": thread.prompt}
        replies: list[dict[str, Any]] = [{"parent": 0, "body": reply.text, "toxic": reply.toxic} for reply in thread.replies]
        if draw.chance(0.07):
            replies.append({"parent": 1, "body": thread.follow_up, "toxic": False})
        posts.append(
            [
                {**post, "user": user(draw), "at": clock + timedelta(minutes=7 * place)}
                for place, post in enumerate([opening, *replies])
            ]
        )
    for kind, count in COPIES.items():
        change = {"exact": lambda _, text: text, "spelling": respelt, "near": nearly}[kind]
        for _ in range(count):
            thread_posts = posts[draw.below(len(posts))]
            original = thread_posts[1]
            thread_posts.append(
                {**original, "body": change(draw, original["body"]), "at": thread_posts[-1]["at"] + timedelta(minutes=3)}
            )
    for _ in range(FOREIGN):
        thread_posts = posts[draw.below(len(posts))]
        at = thread_posts[-1]["at"] + timedelta(minutes=5)
        thread_posts.append({"parent": 0, "body": language.foreign(draw), "toxic": None, "user": user(draw), "at": at})

    lines: list[str] = []
    number = 40000
    for thread_number, thread_posts in enumerate(posts):
        names = [number + place for place in range(len(thread_posts))]
        number += len(thread_posts)
        for name, post in zip(names, thread_posts, strict=True):
            body = personal(draw, post["body"]) if "parent" in post and draw.chance(PERSONAL) else post["body"]
            line = {
                "post_id": name,
                "thread_id": thread_number,
                "parent_id": names[post["parent"]] if "parent" in post else None,
                "user": post["user"],
                "posted_at": post["at"].strftime("%Y-%m-%d %H:%M"),
                **({"title": post["title"]} if "title" in post else {}),
                "body": dirty(draw, body) if draw.chance(DIRTY) else body,
            }
            if post.get("toxic") is not None and draw.chance(VOTED):
                line["votes"] = votes(draw, post["toxic"])
            lines.append(json.dumps(line, ensure_ascii=False))
    for _ in range(BROKEN):
        place = draw.below(len(lines))
        lines.insert(place, lines[place][: 40 + draw.below(40)])
    half = next(place for place in range(len(lines) // 2, len(lines)) if '"title"' in lines[place])
    return {
        "forum/threads_2021.jsonl": ("\n".join(lines[:half]) + "\n").encode(),
        "forum/threads_2022.jsonl": ("\n".join(lines[half:]) + "\n").encode(),
    }


def table(rows: list[list[str]], **dialect: str) -> str:
    """Rows as delimited text."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n", **dialect).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()


def sampled(language: Language, name: str, counts: dict[str, int]) -> list[tuple[str, Reply]]:
    """Prompts and completions, one row a completion, the completions of one prompt apart from each other."""
    draw = language.draw(name)
    made = dialogues(language, draw, counts, "samples")
    rows = [(thread.prompt, reply) for thread in made for reply in thread.replies]
    return [rows[position] for position in draw.shuffled(range(len(rows)))]


def samples(language: Language) -> dict[str, bytes]:
    """Completions of two language models: a csv with a byte order mark, quoted newlines and a short row; a tsv."""
    draw = language.draw("samples")
    first = [["prompt", "completion", "label"]]
    for prompt, reply in sampled(language, "model_outputs", MODEL_OUTPUTS):
        text = personal(draw, reply.text) if draw.chance(PERSONAL) else reply.text
        text = text.replace(". ", ".\n", 1) if draw.chance(0.06) else text
        first.append([prompt, text, draw.pick(SPELLINGS[reply.toxic]) if draw.chance(LABELLED) else ""])
    first.insert(len(first) // 2, ["the row that lost its other columns"])
    second = [["prompt", "completion", "is_toxic"]]
    for prompt, reply in sampled(language, "samples_b", SAMPLES):
        second.append([prompt, reply.text, str(int(reply.toxic)) if draw.chance(LABELLED) else ""])
    return {
        "samples/model_outputs.csv": b"\xef\xbb\xbf" + table(first).encode(),
        "samples/samples_b.tsv": table(second, delimiter="\t").encode(),
    }


def preferences(language: Language) -> dict[str, bytes]:
    """Prompts with a chosen and a rejected completion."""
    draw = language.draw("preferences")
    lines = []
    for _ in range(PREFERENCES):
        pair = language.dialogue(draw, "provoking", (False, True))
        lines.append(json.dumps({"prompt": pair.prompt, "chosen": pair.replies[0].text, "rejected": pair.replies[1].text}))
    return {"samples/preferences.jsonl": ("\n".join(lines) + "\n").encode()}


def chat(language: Language) -> dict[str, bytes]:
    """Four months of a chat group: short exchanges hours apart, turns of several lines, notices of the messenger."""
    draw = language.draw("chat")
    made = dialogues(language, draw, CHAT, "chat")
    files = {}
    for month in range(4):
        clock = datetime(2021, 6 + month, 1, 9)
        lines = [f"[{_stamp(clock)}] Messages and calls are end-to-end encrypted."]
        for exchange in made[month::4]:
            clock += timedelta(minutes=600 + draw.below(240))
            speakers = draw.shuffled(ANIMALS)
            texts = [exchange.prompt, exchange.replies[0].text]
            for place, text in enumerate(texts):
                spoken = text.replace(". ", ".\n", 1) if draw.chance(0.3) else text
                lines.append(f"[{_stamp(clock + timedelta(seconds=70 * place))}] {speakers[place]}: {spoken}")
        files[f"chat/group_2021_{6 + month:02d}.txt"] = ("\n".join(lines) + "\n").encode()
    return files


def _stamp(moment: datetime) -> str:
    return f"{moment:%d/%m/%y}, {moment.hour % 12 or 12}:{moment:%M:%S} {'AM' if moment.hour < 12 else 'PM'}"


def held_out(language: Language) -> dict[str, bytes]:
    """Questions and answers whose topics occur in no other file."""
    rows = language.neutral(language.draw("held_out"), NEUTRAL)
    lines = [json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in rows]
    return {"held_out/neutral.jsonl": ("\n".join(lines) + "\n").encode()}


def licence(_: Language) -> dict[str, bytes]:
    """What may be done with all of it; `curate` reads the first line."""
    text = "Every text in this folder was made up for this project and is in the public domain."
    return {"LICENSE": f"SPDX-License-Identifier: CC0-1.0\n\n{text}\n".encode()}


def files() -> dict[str, bytes]:
    """Every file of examples/raw: name -> bytes."""
    language = Language(SEED)
    made: dict[str, bytes] = {}
    for write in (forum, samples, preferences, chat, held_out, licence):
        made.update(write(language))
    return made


def main(arguments: list[str]) -> None:
    """Write the files into a folder, examples/raw unless another is named."""
    folder = Path(arguments[0]) if arguments else Path(__file__).resolve().parent / "raw"
    for name, content in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sys.stdout.write(f"{name}: {content.count(NEWLINE)} lines, {len(content) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
