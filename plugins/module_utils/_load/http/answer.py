# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a whole response is the one that was asked for, and which revision gave it."""

from __future__ import annotations

import json
from typing import Any

from ..errors import STATUS, VALIDATION
from ..options import Options
from .coding import Undecoded, decoded
from .parser import Head, Parser

MAX_NAME = 200  # characters kept of what a server names itself or a request


class Judge:
    """The run's expectations. Without `expect_status` any 2xx is right."""

    def __init__(self, options: Options) -> None:
        self._statuses = frozenset(options.expect_status)
        self._body = options.expect_body.encode()
        self._header = options.revision_header.lower().encode()
        self._field = options.revision_field.split(".") if options.revision_field else []
        self.reads_body = bool(self._body or self._field or options.stream)

    def expects(self, status: int) -> bool:
        """Whether it is one that was asked for."""
        return status in self._statuses if self._statuses else 200 <= status < 300

    def verdict(self, parser: Parser) -> tuple[str, str] | None:
        """None if the response is right, else the failure's class and what is wrong."""
        head = parser.head
        assert head is not None
        if self.reads_body and head.codings:
            try:
                parser.body = decoded(parser.body, head.codings)
            except Undecoded as problem:
                return problem.kind, str(problem)
        if not self.expects(head.status):
            return STATUS, f"the status {head.status} was not expected"
        if self._body and self._body not in parser.body:
            return VALIDATION, "the body does not hold the expected text"
        return None

    def revision(self, head: Head | None, body: bytearray) -> str:
        """The revision that a header or a field of the JSON body names; empty if neither does."""
        if head is None:
            return ""
        named = head.field(self._header) if self._header else None
        if not named and self._field and body:
            named = _json_field(body, self._field)
        return (named or "")[:MAX_NAME]

    def revision_of(self, event: Any) -> str:
        """The revision that an event of a stream names."""
        return field_of(event, self._field)[:MAX_NAME] if self._field else ""


def _json_field(body: bytearray, path: list[str]) -> str:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return field_of(value, path)


def field_of(value: Any, path: list[str]) -> str:
    """What stands at a path of names and indexes, as a text; empty if nothing does.

    Of a list of objects a name means the one that has it as its `name`, as the outputs of V2 do.
    """
    for name in path:
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else None
        elif isinstance(value, list):
            value = next((one for one in value if isinstance(one, dict) and one.get("name") == name), None)
        else:
            return ""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
