# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's environment and command line, as Kubernetes composes them. Pure."""

from __future__ import annotations

import re
from typing import Any, Mapping

_REFERENCE = re.compile(r"\$(\$|\(([^()\s]+)\))")


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; `$$` is `$`; a reference that cannot be resolved stays as it is."""

    def value(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return env.get(match.group(2), match.group(0))

    return _REFERENCE.sub(value, text)


def compose(container: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a container: `base` (the node's own), then its env, later ones winning."""
    env = dict(base)
    for variable in container.get("env") or ():
        env[variable["name"]] = expand(variable.get("value") or "", env)
    return env


def command_line(container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """The container's command and arguments, references expanded."""
    return [expand(word, env) for word in [*container["command"], *(container.get("args") or ())]]


def volume_variable(name: str) -> str:
    """The name of the variable that tells a process where the volume `name` lies."""
    return "VOLUME_" + name.upper().replace("-", "_").replace(".", "_")
