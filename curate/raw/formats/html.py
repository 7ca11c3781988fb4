"""Pages: the posts of a thread, with who wrote them and what they answer; or, of a page without posts, its paragraphs.

A post is an element whose class, id or type says so ("post", "comment", `<article>`); within it, class names tell author,
time, body and signature, a `<blockquote>` is what it quotes, and a post inside a post answers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from curate.core.schema import canonical
from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Record
from curate.raw.files.texts import NO_TEXT, pieces
from curate.raw.formats.html_words import BLOCK, FENCE, IMPLIED, LEFT_OUT, PARAGRAPH, PART_OF, POST, REPLY_TO, SILENT, VOID

STEP = 1 << 14  # characters that the parser is fed at a time
MOST_LEFT = 1 << 14  # characters of unfinished markup at the end of a page
DEEPEST = 500  # open elements; a page nested deeper is broken or built to be

IDS = ("id", "data-id", "data-post-id", "data-comment-id")  # attributes that name a post, best first
PARTS = ("loose", "body", "author", "time", "quote")  # of a post; loose text is the body of one that marks no body

_WRAPPED = re.compile(r"[ \t]*\n(?:[ \t]{2,}|\t)")  # how a page's source is indented; a bare line end may be the writer's own
_WROTE = re.compile(
    r"^\s*(?:originally posted by\s+)?(\S[^\n:]{0,60}?)\s*(?:wrote|said|posted|writes|says)\s*:\s*", re.IGNORECASE
)
_TOKEN = re.compile(r"[^\s]+")


def read(stream: Stream) -> Iterator[Record | Broken]:
    """Every post, or every paragraph of a page without posts, as a record with the page's `title`."""
    page, waiting = _Page(), ""
    for piece in pieces(stream):
        for start in range(0, len(piece), STEP):
            waiting += piece[start : start + STEP]
            if len(waiting) < len(page.rawdata):  # the parser looks at unfinished markup from its start, each time it is fed
                continue
            page.feed(waiting)
            waiting = ""
            yield from page.take()
            if len(page.rawdata) > MAX_RECORD or page.too_deep:
                deep = f"elements nested deeper than {DEEPEST}"
                reason = deep if page.too_deep else f"markup longer than {MAX_RECORD >> 20} MiB"
                yield Broken(page.rawdata.encode("utf-8", "backslashreplace")[:KEPT], page.locator(), reason)
                return
    page.feed(waiting)
    yield from page.take()
    if page.too_deep:
        yield Broken(b"", page.locator(), f"elements nested deeper than {DEEPEST}")
        return
    if stream.trouble is not None:
        yield Broken(page.rawdata.encode("utf-8", "backslashreplace")[:KEPT], page.locator(), stream.trouble)
        return
    if len(page.rawdata) > MOST_LEFT:  # the parser would look through all of it again for every '<' in it
        page.finish()
        yield from page.take()
        yield Broken(page.rawdata.encode("utf-8", "backslashreplace")[:KEPT], page.locator(), "markup that does not end")
        return
    page.close()
    page.finish()
    yield from page.take()


@dataclass
class _Post:
    """A post, or a paragraph, while it is open."""

    line: int
    token: str
    depth: int  # of open elements when it began
    fields: dict[str, str]
    parent: str | None = None
    parts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PARTS})
    numbered: bool = False  # its id is ours
    size: int = 0


@dataclass
class _Element:
    """An open element, and what text within it is part of."""

    tag: str
    part: str  # one of `PARTS`, "title", or "" for nothing


class _Page(HTMLParser):
    """Gathers posts while the page streams through."""

    def __init__(self, single: bool = False) -> None:
        """Start at the page's top; with `single`, all of it is one post."""
        super().__init__(convert_charrefs=True)
        self._single = single
        self.too_deep = False
        self._open: list[_Element] = []
        self._posts: list[_Post] = []
        self._done: list[Record | Broken] = []
        self._paragraphs: list[_Post] = []  # closed, while it is not known whether the page has posts
        self._paragraph_bytes = 0
        self._threaded = False
        self._title: list[str] = []
        self._heading: list[str] = []
        self._silent = 0  # open elements whose text nobody sees
        self._silenced = ""
        self._names = 0

    def take(self) -> list[Record | Broken]:
        """Records that are complete."""
        done, self._done = self._done, []
        return done

    def alone(self, post: _Post) -> _Post:
        """Take all that comes as part of one post."""
        self._posts.append(post)
        return post

    def locator(self) -> str:
        return f"line {self.getpos()[0]}"

    def finish(self) -> None:
        """The page ends here, whatever is still open."""
        while self._open:
            self._end()
        self._flush()
        if self._silent:
            self._done.append(Broken(b"", self._silenced, "a script or the like that does not end: what follows is not read"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self._silent += 1
            self._silenced = self._silenced if self._silent > 1 else self.locator()
        if self._silent:
            return
        if tag in ("br", "hr"):
            self._add("\n")
        if tag in VOID:
            return
        if tag in IMPLIED:
            self._imply(tag)
        elif tag in BLOCK and self._open and self._open[-1].tag == "p":
            self._end()
        if tag in BLOCK:
            self._add("\n")
        if len(self._open) >= DEEPEST:
            self.too_deep = True
            return
        attributes = {name: value or "" for name, value in attrs[:100]}
        self._open.append(_Element(tag, self._part(tag, attributes)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "hr"):
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
            self._silent = max(0, self._silent - 1)
            return
        if self._silent or not any(element.tag == tag for element in self._open):
            return
        while self._end() != tag:
            pass
        if tag in BLOCK:
            self._add("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._add(data)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Read `<![...]>`; where it is malformed, as the comment that browsers take it for: the library stops with an error."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i, report)

    def _add(self, text: str) -> None:
        part = self._open[-1].part if self._open else "loose"
        if part == "title":
            title = self._title if self._open[-1].tag == "title" else self._heading
            title += [text[:500]] if len(title) < 20 else []
        if not self._posts or part not in PARTS:
            return
        post = self._posts[-1]
        post.size += len(text)
        if post.size <= MAX_RECORD:
            post.parts[part].append(text)

    def _part(self, tag: str, attributes: dict[str, str]) -> str:
        """What an element that opens here is part of; begins a post where it is one."""
        words = {word.casefold() for word in _TOKEN.findall(attributes.get("class", ""))}
        here = self._open[-1].part if self._open else "loose"
        if tag == "title" or (tag == "h1" and not self._posts and not self._heading):
            return "title"
        if here == "" or tag in ("nav", "head") or words & LEFT_OUT:
            return ""
        token = self._token(tag, attributes, words)
        if token:
            return self._begin(token, attributes)
        return self._within(tag, attributes, words, here)

    def _within(self, tag: str, attributes: dict[str, str], words: set[str], here: str) -> str:
        """What an element is of the post around it."""
        if not self._posts or self._posts[-1].token == "paragraph":
            return self._begin("paragraph", {}) if tag in PARAGRAPH and not self._threaded else here
        if here in ("quote", "reply_to"):
            self._answers(attributes)
            return here
        part = _part_of(tag, attributes, words) if here not in ("author", "time") else here
        if part == "time" and (attributes.get("datetime") or attributes.get("title")):
            self._posts[-1].fields.setdefault("time", attributes.get("datetime") or attributes["title"])
        return part or here

    def _answers(self, attributes: dict[str, str]) -> None:
        """A link from a quote to another post on the page says what is answered."""
        target = re.match(r"#(?:go_to_)?([\w-]+)$", attributes.get("href", ""))
        if target and self._posts[-1].parent is None:
            self._posts[-1].parent = target[1]

    def _token(self, tag: str, attributes: dict[str, str], words: set[str]) -> str:
        """The word by which an element is a post; "" when it is none."""
        if self._single:
            return ""
        kind = attributes.get("itemtype", "").rsplit("/", 1)[-1]
        typed = tag == "article" or kind in ("Comment", "UserComments")
        tokens = sorted(words & POST) or (["article"] if typed else [])
        if not tokens:
            return ""
        around = [post.token for post in self._posts if post.token != "paragraph"]
        if around and PART_OF.get(tokens[0]) == "body" and tokens[0] not in around:
            return ""  # `<div class="message">` within a post is its body
        if self._open and self._open[-1].part in ("quote", "author"):
            return ""
        if words & {"service"} and tag == "div":
            return ""  # how one messenger marks dates between its messages
        return tokens[0]

    def _begin(self, token: str, attributes: dict[str, str]) -> str:
        fields: dict[str, str] = {}
        if token != "paragraph":
            self._threaded = True
            self._paragraphs.clear()
            while self._posts and self._posts[-1].token == "paragraph":
                self._posts.pop()
            name = next((attributes[key] for key in IDS if attributes.get(key)), "")
            fields = {"id": name} if name else {}
            for key, value in attributes.items():
                if key.startswith("data-") and key not in IDS:
                    fields[key[5:].replace("-", "_")] = value
        around = self._posts[-1] if self._posts else None
        post = _Post(self.getpos()[0], token, len(self._open), fields)
        if token != "paragraph" and around is not None:
            if "id" not in around.fields:
                self._names += 1
                around.fields["id"], around.numbered = f"#{self._names}", True  # so that this one can say what it answers
            post.parent = around.fields["id"]
        self._posts.append(post)
        return "loose"

    def _imply(self, tag: str) -> None:
        for back, element in enumerate(reversed(self._open)):
            if element.tag == tag:
                for _ in range(back + 1):
                    self._end()
                return
            if element.tag in FENCE and not (tag == "tr" and element.tag == "tbody"):
                return

    def _end(self) -> str:
        """Close the innermost element, and the post that began with it."""
        element = self._open.pop()
        if self._posts and self._posts[-1].depth == len(self._open):
            self._close(self._posts.pop())
        return element.tag

    def _close(self, post: _Post) -> None:
        if post.token == "paragraph":
            if not self._threaded and _joined(post.parts["loose"]):
                self._paragraphs.append(post)
                self._paragraph_bytes += post.size
                if self._paragraph_bytes > MAX_RECORD:
                    self._flush()
            return
        self._done.append(self._record(post))

    def _flush(self) -> None:
        """A page without posts is its paragraphs."""
        for post in self._paragraphs:
            self._done.append(self._record(post))
        self._paragraphs, self._paragraph_bytes = [], 0

    def _record(self, post: _Post) -> Record | Broken:
        texts = {part: _joined(texts_of_part) for part, texts_of_part in post.parts.items()}
        fields = dict(post.fields)
        for name in ("author", "time", "quote"):
            if texts[name]:
                fields.setdefault(name, _WROTE.sub("", texts[name]) if name == "quote" else texts[name])
        fields["text"] = texts["body"] or texts["loose"]
        own = {name: value for name, value in fields.items() if name != "id" or not post.numbered}
        raw = canonical(own).encode("utf-8", "backslashreplace")
        if post.parent is not None:
            fields.setdefault("parent_id", post.parent)
        title = _joined(self._title) or _joined(self._heading)
        if title and post.token != "paragraph":
            fields["title"] = title
        locator = f"line {post.line}"
        if post.size > MAX_RECORD:
            return Broken(raw[:KEPT], locator, f"longer than {MAX_RECORD >> 20} MiB")
        if any(NO_TEXT in value for value in fields.values()):
            return Broken(raw[:KEPT], locator, "holds NUL, or bytes of another encoding")
        return Record(fields, raw, locator)


def _part_of(tag: str, attributes: dict[str, str], words: set[str]) -> str | None:
    """Which part of a post an element names itself."""
    if words & REPLY_TO:
        return "reply_to"
    parts = {PART_OF[word] for word in words & PART_OF.keys()}
    parts |= {PART_OF[attributes[key]] for key in ("itemprop", "rel", "data-role") if attributes.get(key) in PART_OF}
    parts |= {{"blockquote": "quote", "time": "time"}[tag]} if tag in ("blockquote", "time") else set()
    return next((part for part in ("quote", "author", "time", "body") if part in parts), None)


def text_of(markup: str) -> tuple[str, str]:
    """A piece of HTML that is one post, such as a mail's body, as (text, quote)."""
    page = _Page(single=True)
    post = page.alone(_Post(1, "mail", -1, {}))
    page.feed(markup)
    if len(page.rawdata) <= MOST_LEFT:
        page.close()
    return _joined(post.parts["loose"] + post.parts["body"]), _joined(post.parts["quote"])


def _joined(pieces: list[str]) -> str:
    """A part's text, its source's indentation undone and its empty lines thinned to one."""
    text = _WRAPPED.sub(" ", "".join(pieces))
    return re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", text).strip()
