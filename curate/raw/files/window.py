"""A file's text through a window that moves on: patterns are matched in it though the file is longer than memory."""

from __future__ import annotations

import re

from curate.raw.files.container import Stream
from curate.raw.files.lines import MAX_RECORD
from curate.raw.files.texts import pieces

OVERLAP = 256  # characters looked at again where what is sought may lie across two pieces
LONGEST = 4096  # characters of a match, unless it opens something of any length


class Window:
    """The text from where reading is, on; more is fetched as it is wanted, what is done with is let go.

    Attributes:
        held: what is in memory.
        at: where reading is, within it.
        whole: whether all of the rest is held.
    """

    def __init__(self, stream: Stream) -> None:
        self._pieces = pieces(stream)
        self._line = 1  # on which `held` begins
        self.held = ""
        self.at = 0
        self.whole = False

    def more(self) -> bool:
        """Fetch; false at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            self.whole = True
            return False
        self.held += piece
        return True

    def match(self, pattern: re.Pattern[str], opening: str = "") -> re.Match[str] | None:
        """Match here. One that reaches the end of what is held might go on, so more is fetched first.

        Args:
            pattern: what should stand here.
            opening: characters that open something of any length, which has to be fetched whole before it can match.
        """
        while True:
            match = pattern.match(self.held, self.at)
            whole = match is not None and match.end() < len(self.held)
            if whole or self.whole or len(self.held) - self.at > MAX_RECORD:
                return match
            if match is None and len(self.held) - self.at > LONGEST and self.held[self.at] not in opening:
                return None
            self.more()

    def search(self, pattern: re.Pattern[str], start: int) -> re.Match[str] | None:
        """Search from a place on; within one record's length."""
        while True:
            match = pattern.search(self.held, start)
            if (match is not None and match.end() < len(self.held)) or self.whole or len(self.held) - start > MAX_RECORD:
                return match
            self.more()

    def peek(self, size: int = 1) -> str:
        """The next characters; fewer at the end."""
        while len(self.held) - self.at < size and self.more():
            pass
        return self.held[self.at : self.at + size]

    def seek(self, pattern: re.Pattern[str], ahead: int) -> bool:
        """Go behind the next place that matches, however far, holding little of what lies between; false at the end.

        Args:
            pattern: what to look for; at most `OVERLAP` characters.
            ahead: characters from here that are no part of it.
        """
        start = self.at + ahead
        while (match := self.search(pattern, start)) is None:
            if self.whole:
                self.at = len(self.held)
                return False
            self.at = len(self.held) - OVERLAP
            self.let_go()
            start = self.at
        self.at = match.end()
        return True

    def let_go(self) -> None:
        """Forget what lies behind, a good deal at a time."""
        if self.at > 1 << 16:
            self._line += self.held.count("\n", 0, self.at)
            self.held, self.at = self.held[self.at :], 0

    def line_at(self, at: int) -> int:
        """Line number of a place."""
        return self._line + self.held.count("\n", 0, at)
