# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of docs/runbooks, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .places import ROOT

FOLDER = ROOT / "docs/runbooks"
INDEX = "README"
# Whatever ends a command and begins the next.
_BETWEEN = {"|", ";", "&&", "||"}
_FENCE = re.compile(
    r"(?:<!-- needs a real cluster: (?P<reason>[^>]*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)\n```", re.DOTALL
)
# The name of a program's command alone, as `kubectl wait`, is none to be given.
_INLINE = re.compile(r"`((?:ansible|jq|kubectl) [^`\s]+ [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of commands; `reason` says why it needs a real cluster, empty where it needs none."""

    page: str
    kind: str
    text: str
    reason: str = ""

    def commands(self) -> Iterator[list[str]]:
        """Each command as words, those behind a pipe apart. Variables stand as they are."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in _words(line):
                if word in _BETWEEN:
                    yield words
                    words = []
                else:
                    words.append(word)
            if words:
                yield words


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def pages() -> list[Path]:
    """The pages, without the index."""
    return sorted(path for path in FOLDER.glob("*.md") if path.stem != INDEX)


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    return [
        Block(page, found["kind"], found["text"], (found["reason"] or "").strip())
        for found in _FENCE.finditer(text)
    ]


def inline(page: str) -> list[Block]:
    """The commands that stand within its sentences and tables."""
    return [Block(page, "sh", text) for text in _INLINE.findall(prose(page))]


def prose(page: str) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", (FOLDER / f"{page}.md").read_text(encoding="utf-8"))
