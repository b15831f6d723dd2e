# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the controller that a load on another host needs. Private to this collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SINGLE = ("payload_file", "payload_lines", "send_times")


def with_files(arguments: Mapping[str, Any], bring: Callable[[str], str]) -> dict[str, Any]:
    """The arguments of `load_test`, each file that it reads but certificates where `bring` puts it.

    `bring` takes a path of the controller and returns one of the host.
    """
    changed = dict(arguments)
    for name in SINGLE:
        if changed.get(name):
            changed[name] = bring(str(changed[name]))
    if isinstance(changed.get("payload_files"), list):
        changed["payload_files"] = [bring(str(path)) for path in changed["payload_files"]]
    if isinstance(changed.get("payloads"), list):
        changed["payloads"] = [_row(row, bring) for row in changed["payloads"]]
    return changed


def _row(row: Any, bring: Callable[[str], str]) -> Any:
    if not isinstance(row, Mapping) or not row.get("payload_file"):
        return row  # the module says what is wrong with it
    return {**row, "payload_file": bring(str(row["payload_file"]))}
