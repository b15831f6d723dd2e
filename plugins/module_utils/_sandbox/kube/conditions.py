# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions of a status, as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional


def is_true(status: Optional[Mapping[str, Any]], kind: str) -> bool:
    """Whether a status has a condition of this type, and it is True."""
    conditions = (status or {}).get("conditions") or []
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)
