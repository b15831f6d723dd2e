# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's access log cut to what tells about a load's own requests, so that nobody else's are kept.

What is kept has Istio's names, whatever the gateway's own format is, durations in milliseconds, and of the
upstream only what tells the revision: no path, address of a client, user agent or other header is in it.
"""

from __future__ import annotations

import re
from typing import Any

from ..evidence.access_log import ISTIO, Format, read_row

# The ids that a load gives its requests: the 64 bits of its run, and the number (_load/http/request.py).
_OWN_ID = re.compile(r"[0-9a-f]{16}-[0-9]{10}\Z")


class Trimmer:
    """Cuts lines of one format."""

    def __init__(self, form: Format) -> None:
        self._line = re.compile(form.line) if form.line else None
        names = dict(zip(ISTIO, ISTIO)) if form.line else {**ISTIO, **form.fields}
        self._names = names
        self._duration_ms = form.duration_ms
        self._revision = re.compile(form.revision)

    def cut(self, line: bytes) -> dict[str, Any] | None:
        """What is kept of a line; None of one that is not a request of a load."""
        row = read_row(line, self._line)
        if row is None or not _OWN_ID.match(str(row.get(self._names["request_id"]))):
            return None
        kept = {ISTIO[name]: row[own] for name, own in self._names.items() if row.get(own) is not None}
        duration = kept.get(ISTIO["duration"])
        try:
            kept[ISTIO["duration"]] = float(str(duration)) * self._duration_ms
        except ValueError:
            kept.pop(ISTIO["duration"], None)
        found = self._revision.search(str(kept.get(ISTIO["upstream"]) or ""))
        kept[ISTIO["upstream"]] = (found.group(1) or "") if found else ""
        return kept
