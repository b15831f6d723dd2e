# SPDX-License-Identifier: GPL-3.0-or-later
"""The statuses of gRPC by number (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""

from __future__ import annotations

OK = 0
NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def shown(status: int) -> str:
    """A status as people write it: `14 UNAVAILABLE`."""
    return f"{status} {NAMES[status]}" if status < len(NAMES) else str(status)
