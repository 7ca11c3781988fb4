"""Pages: the posts of a thread, with who wrote them and what they answer; or, of a page without posts, its paragraphs.

A post is an element whose class, id or type says so ("post", "comment", `<article>`); within it, class names tell author,
time, body and signature, a `<blockquote>` is what it quotes, and a post inside a post answers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from curate.core.schema import canonical
from curate.raw.files.container import Stream
from curate.raw.files.lines import KEPT, MAX_RECORD
from curate.raw.files.records import Broken, Record
from curate.raw.files.texts import NO_TEXT, pieces

STEP = 1 << 14  # characters that the parser is fed at a time
MOST_LEFT = 1 << 14  # characters of unfinished markup at the end of a page
DEEPEST = 500  # open elements; a page nested deeper is broken or built to be

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
    fields: dict[str, Any]
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
        given = {name: value or "" for name, value in attrs[:100]}
        self._open.append(_Element(tag, self._part(tag, given)))

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

    def _add(self, text: str) -> None:
        part = self._open[-1].part if self._open else "loose"
        if part == "title":
            told = self._title if self._open[-1].tag == "title" else self._heading
            told += [text[:500]] if len(told) < 20 else []
        if not self._posts or part not in PARTS:
            return
        post = self._posts[-1]
        post.size += len(text)
        if post.size <= MAX_RECORD:
            post.parts[part].append(text)

    def _part(self, tag: str, given: dict[str, str]) -> str:
        """What an element that opens here is part of; begins a post where it is one."""
        words = {word.casefold() for word in _TOKEN.findall(given.get("class", ""))}
        here = self._open[-1].part if self._open else "loose"
        if tag == "title" or (tag == "h1" and not self._posts and not self._heading):
            return "title"
        if here == "" or tag in ("nav", "head") or words & LEFT_OUT:
            return ""
        token = self._token(tag, given, words)
        if token:
            return self._begin(token, given)
        return self._within(tag, given, words, here)

    def _within(self, tag: str, given: dict[str, str], words: set[str], here: str) -> str:
        """What an element is of the post around it."""
        if not self._posts or self._posts[-1].token == "paragraph":
            return self._begin("paragraph", {}) if tag in PARAGRAPH and not self._threaded else here
        if here in ("quote", "reply_to"):
            self._answers(given)
            return here
        part = _part_of(tag, given, words) if here not in ("author", "time") else here
        if part == "time" and (given.get("datetime") or given.get("title")):
            self._posts[-1].fields.setdefault("time", given.get("datetime") or given["title"])
        return part or here

    def _answers(self, given: dict[str, str]) -> None:
        """A link from a quote to another post on the page says what is answered."""
        target = re.match(r"#(?:go_to_)?([\w-]+)$", given.get("href", ""))
        if target and self._posts[-1].parent is None:
            self._posts[-1].parent = target[1]

    def _token(self, tag: str, given: dict[str, str], words: set[str]) -> str:
        """The word by which an element is a post; "" when it is none."""
        if self._single:
            return ""
        kind = given.get("itemtype", "").rsplit("/", 1)[-1]
        typed = tag == "article" or kind in ("Comment", "UserComments")
        found = sorted(words & POST) or (["article"] if typed else [])
        if not found:
            return ""
        around = [post.token for post in self._posts if post.token != "paragraph"]
        if around and PART_OF.get(found[0]) == "body" and found[0] not in around:
            return ""  # `<div class="message">` within a post is its body
        if self._open and self._open[-1].part in ("quote", "author"):
            return ""
        if words & {"service"} and tag == "div":
            return ""  # how one messenger marks dates between its messages
        return found[0]

    def _begin(self, token: str, given: dict[str, str]) -> str:
        told: dict[str, Any] = {}
        if token != "paragraph":
            self._threaded = True
            self._paragraphs.clear()
            while self._posts and self._posts[-1].token == "paragraph":
                self._posts.pop()
            name = given.get("id") or given.get("data-id") or given.get("data-post-id") or given.get("data-comment-id")
            told = {"id": name} if name else {}
            for key, value in given.items():
                if key.startswith("data-") and key[5:] not in ("id", "post-id", "comment-id"):
                    told[key[5:].replace("-", "_")] = value
        around = self._posts[-1] if self._posts else None
        post = _Post(self.getpos()[0], token, len(self._open), told)
        if token != "paragraph" and around is not None:
            if "id" not in around.fields:
                self._names += 1
                around.fields["id"], around.numbered = f"#{self._names}", True  # so that this one can say what it answers
            post.parent = str(around.fields["id"])
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
            if not self._threaded and _said(post.parts["loose"]):
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
        said = {part: _said(texts) for part, texts in post.parts.items()}
        told = dict(post.fields)
        for name in ("author", "time", "quote"):
            if said[name]:
                told.setdefault(name, _WROTE.sub("", said[name]) if name == "quote" else said[name])
        told["text"] = said["body"] or said["loose"]
        own = {name: value for name, value in told.items() if name != "id" or not post.numbered}
        raw = canonical(own).encode("utf-8", "backslashreplace")
        if post.parent is not None:
            told.setdefault("parent_id", post.parent)
        title = _said(self._title) or _said(self._heading)
        if title and post.token != "paragraph":
            told["title"] = title
        locator = f"line {post.line}"
        if post.size > MAX_RECORD:
            return Broken(raw[:KEPT], locator, f"longer than {MAX_RECORD >> 20} MiB")
        if any(NO_TEXT in str(value) for value in told.values()):
            return Broken(raw[:KEPT], locator, "holds NUL, or bytes of another encoding")
        return Record(told, raw, locator)


def _part_of(tag: str, given: dict[str, str], words: set[str]) -> str | None:
    """Which part of a post an element names itself."""
    if words & REPLY_TO:
        return "reply_to"
    named = {PART_OF[word] for word in words & PART_OF.keys()}
    named |= {PART_OF[given[key]] for key in ("itemprop", "rel", "data-role") if given.get(key) in PART_OF}
    named |= {{"blockquote": "quote", "time": "time"}[tag]} if tag in ("blockquote", "time") else set()
    return next((part for part in ("quote", "author", "time", "body") if part in named), None)


def text_of(markup: str) -> tuple[str, str]:
    """A piece of HTML that is one post, such as a mail's body, as (text, quote)."""
    page = _Page(single=True)
    post = page.alone(_Post(1, "mail", -1, {}))
    page.feed(markup)
    if len(page.rawdata) <= MOST_LEFT:
        page.close()
    return _said(post.parts["loose"] + post.parts["body"]), _said(post.parts["quote"])


def _said(parts: list[str]) -> str:
    text = _WRAPPED.sub(" ", "".join(parts))
    return re.sub(r"[ \t]*\n(?:[ \t]*\n)+", "\n\n", text).strip()


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


POST = _names("post comment reply message msg tweet forum-post forum-comment postcontainer topic-post status")
"""Classes of an element that is a post."""


_PARTS = {
    "quote": "quote quoted bbcode_quote bbcodeblock quotecontent quote-container gmail_quote",
    "author": "user author username user-name user_name nick nickname poster by byline from_name from sender post-author "
    "post_author comment-author comment_author commentauthor message-name message-author h-card fn",
    "time": "date time datetime timestamp posted post-date post_date comment-date postdate created",
    "body": "body content text message msg md postbody post-body post_body post-content post_content post-text post-message "
    "postcontent comment-body comment-content comment-text comment_text comment__text commentcontent commentContent message-body "
    "message-content message-text messagetext messagecontent bbwrapper usertext-body entry-content reply-content reply-body "
    "tweet-text articleBody commentText",
}


PART_OF: dict[str, str] = {word: part for part, words in _PARTS.items() for word in words.split()}
"""Class, or `itemprop`, of an element within a post -> what it is of the post."""


REPLY_TO = _names("reply_to reply-to in-reply-to replyto in_reply_to parent")
"""Classes of a line that says which post is answered."""


LEFT_OUT = _names(
    "sig signature post-signature nav navigation breadcrumb breadcrumbs footer actions controls buttons toolbar share pagination "
    "menu sidebar advert ad comment-actions reply-link post-actions edit-link"
)
"""Classes of what belongs to the page, not to the post."""


SILENT = _names("script style noscript template svg select textarea iframe object button")


VOID = _names("area base br col embed hr img input link meta param source track wbr")


BLOCK = _names(
    "p div li ul ol blockquote pre table tr section article header footer h1 h2 h3 h4 h5 h6 dd dt dl figure details summary"
)


PARAGRAPH = _names("p li blockquote dd dt td pre h1 h2 h3 h4 h5 h6")


IMPLIED = _names("p li dt dd td th tr option")
"""Elements of which a second one ends the first."""


FENCE = _names("ul ol dl table blockquote div section article tbody")
"""Elements out of which `IMPLIED` does not reach."""
