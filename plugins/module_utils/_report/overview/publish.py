# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module rollout_report does with several rollouts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..files import ArtefactError, require_dest, write_all
from ..material import UNSHOWN
from .formats import WRITERS
from .judged import Judged, grade, read, sentence, unreached


def sum_up(params: Mapping[str, Any], check_mode: bool = False) -> dict[str, Any]:
    """The module's result. `params` are the module's parameters.

    :raises ArtefactError: where there is nothing to sum up, or `dest` is no folder that can be written.
    """
    dest = params["dest"]
    if not params["rollouts"]:
        raise ArtefactError("rollouts: name at least one rollout that was judged.")
    names = [each["name"] for each in params["rollouts"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArtefactError(f"rollouts: {twice[0]} is named twice.")
    try:
        if not check_mode:
            os.makedirs(dest, mode=0o755, exist_ok=True)
    except OSError as error:
        raise ArtefactError(f"dest: {error.strerror}. Name a folder of your own.") from None
    if os.path.exists(dest):
        require_dest(dest)
    rollouts = [_shown(read(each["name"], each["artifacts"], dest)) for each in params["rollouts"]]
    changed, files = write_all(dest, {name: write(rollouts) for name, write in WRITERS.items()}, check_mode)
    return {
        "changed": changed,
        "files": files,
        "verdict": grade(rollouts),
        "summary": sentence(rollouts),
        "rollouts": [each.as_dict() for each in rollouts],
        "runbooks": list(dict.fromkeys(page for each in rollouts for page in _runbooks(each))),
    }


def _shown(rollout: Judged) -> Judged:
    """The rollout, without its verdict where something in that is not what it is to be: one that is damaged
    must not keep the others from being told of."""
    try:
        for write in WRITERS.values():
            write([rollout])
        _runbooks(rollout)
    except UNSHOWN as error:
        why = f"its verdict.json is damaged: {type(error).__name__}: {error}"
        return replace(rollout, verdict=unreached(why))
    return rollout


def _runbooks(rollout: Judged) -> list[str]:
    return [str(page) for page in rollout.verdict.get("runbooks", [])]
