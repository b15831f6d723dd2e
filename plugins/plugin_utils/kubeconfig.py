# SPDX-License-Identifier: GPL-3.0-or-later
"""A vaulted kubeconfig of the controller is decrypted, as kubernetes.core does for its own modules.

Private to this collection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any


def with_readable_kubeconfig(arguments: Mapping[str, Any], loader: Any, transport: str) -> dict[str, Any]:
    """The arguments of a module, ``kubeconfig`` with the files that are encrypted replaced by decrypted ones.

    ``loader`` is Ansible's DataLoader, which removes these when the task is over. On another host than the
    controller the module reads its own files. Raises AnsibleError where a file cannot be decrypted.
    """
    changed = dict(arguments)
    named = changed.get("kubeconfig")
    if transport == "local" and isinstance(named, str):
        changed["kubeconfig"] = os.pathsep.join(_readable(path, loader) for path in named.split(os.pathsep))
    return changed


def _readable(path: str, loader: Any) -> str:
    absolute = os.path.abspath(os.path.expanduser(path))
    if not path or not os.path.isfile(absolute):
        return path
    real = str(loader.get_real_file(absolute, decrypt=True))
    return path if real == absolute else real
