# SPDX-License-Identifier: GPL-3.0-or-later
"""report.html as the tests read it: well formed, and the text that a person sees."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Checker(HTMLParser):
    """Elements opened and closed in order, ids used once, and every word that a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids.update(value or "" for name, value in attrs if name == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def read_page(params: dict[str, Any]) -> tuple[Checker, str]:
    publish(params)
    html = (Path(params["dest"]) / "report.html").read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker, html


def page_text(params: dict[str, Any]) -> str:
    return " ".join(" ".join(read_page(params)[0].texts).split())
