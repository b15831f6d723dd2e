# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as the API server keeps them: RFC 3339 in UTC, in whole seconds."""

from __future__ import annotations

from datetime import datetime, timezone


def timestamp(now: float) -> str:
    """A time in seconds since the epoch, as Kubernetes writes it."""
    return datetime.fromtimestamp(int(now), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(written: str) -> float:
    """The time that `timestamp` wrote, in seconds since the epoch."""
    return datetime.fromisoformat(written.replace("Z", "+00:00")).timestamp()
