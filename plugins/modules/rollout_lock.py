#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_lock
short_description: Let one rollout at a time use a run's load, observer, record and artefacts
description:
  - Two playbooks that roll out with the same record would end each other's load, and with the same folder
    write over each other's evidence. The second one is refused while the first one runs.
  - What a playbook that was killed left does not hold up anybody.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
requirements:
  - python >= 3.10
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  state:
    description:
      - V(held) takes the lock for this playbook, or fails where another one that still runs has it.
      - V(released) gives it back; another playbook's is left alone.
    type: str
    choices: [held, released]
    default: held
  record:
    description: The run's record, as for M(iter8.kfserving.ownership). The lock lies beside it.
    type: path
    required: true
  forget:
    description:
      - With O(state=released), removes the record as well, and those of a list's rollouts, which are in a
        folder beside it. For a run of which nothing is left.
    type: bool
    default: false
  artifacts:
    description: The folder of the run's artefacts. Runs whose records are in one folder do not share it.
    type: path
  owner_pid:
    description: The process id of the playbook. Set by the action plugin of this module.
    type: int
seealso:
  - module: iter8.kfserving.ownership
  - module: iter8.kfserving.rollout_observer
"""

EXAMPLES = r"""
- name: Refuse to roll out while another playbook does
  iter8.kfserving.rollout_lock:
    record: ~/.local/state/iter8-kfserving/runs/nightly.json
    artifacts: build/e2e

- name: Let the next one begin
  iter8.kfserving.rollout_lock:
    record: ~/.local/state/iter8-kfserving/runs/nightly.json
    state: released
    forget: true
"""

RETURN = r"""
lock:
  description: The file of the lock.
  type: str
  returned: always
  sample: /home/me/.local/state/iter8-kfserving/runs/nightly.json.lock
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import write_atomically
from ansible_collections.iter8.kfserving.plugins.module_utils._common.processes import alive, record_of

ARGUMENTS = {
    "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
    "record": {"type": "path", "required": True},
    "forget": {"type": "bool", "default": False},
    "artifacts": {"type": "path"},
    "owner_pid": {"type": "int"},
}
SUFFIX = ".lock"


class LockHeld(Exception):
    """Another playbook rolls out, with a message fit for a user."""


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else looks at the locks of this folder, or changes them, meanwhile."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> dict[str, Any]:
    """What a lock says; nothing where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _refuse(path: Path, artifacts: str, pid: int) -> None:
    """Raises Held where a playbook that runs, and is not `pid`, has this lock or these artefacts."""
    for other in sorted(path.parent.glob(f"*{SUFFIX}")):
        lock = _read(other)
        if lock.get("pid") in (None, pid) or not alive(lock):
            continue
        where = f"process {lock['pid']}, with the artefacts in {lock.get('artifacts')}"
        if other == path:
            raise LockHeld(
                f"A rollout of this run is under way already: {where}. Nothing was changed, and it goes on. "
                "Wait for its end, or stop it."
            )
        if artifacts and lock.get("artifacts") == artifacts:
            raise LockHeld(
                f"A rollout that writes to {artifacts} is under way already: {where}. Nothing was changed, "
                "and it goes on. Name another folder with -e iter8_kfserving_artifacts=DIR (make: "
                "ARTIFACTS=DIR)."
            )


def _forget(record: Path, check_mode: bool) -> bool:
    """Removes the record and the folder of those of a list; whether there was any."""
    of_list = record.with_suffix(".rollouts")
    there = [path for path in (record, of_list) if os.path.lexists(path)]
    if not check_mode:
        for path in there:
            # What a link names is not the run's.
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return bool(there)


def ensure(params: Mapping[str, Any], check_mode: bool) -> bool:
    """Bring the lock into the wanted state; whether that changed anything.

    Raises Held, and OSError for a folder that cannot be used.
    """
    path = Path(str(params["record"]) + SUFFIX).absolute()
    pid = params["owner_pid"] or os.getppid()
    artifacts = os.path.realpath(params["artifacts"]) if params["artifacts"] else ""
    wanted = {**record_of(pid), "artifacts": artifacts}
    if params["state"] == "released":
        # Before the next rollout may begin: the record is where its own will be.
        forgot = params["forget"] and _forget(path.with_name(path.name.removesuffix(SUFFIX)), check_mode)
        ours = path.exists() and (_read(path).get("pid") == pid or not alive(_read(path)))
        if ours and not check_mode:
            path.unlink(missing_ok=True)
        return ours or forgot
    if check_mode:
        _refuse(path, artifacts, pid)
        return _read(path) != wanted
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(path.parent):
        _refuse(path, artifacts, pid)
        if _read(path) == wanted:
            return False
        write_atomically(path, json.dumps(wanted) + "\n")
    return True


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        changed = ensure(module.params, module.check_mode)
    except LockHeld as held:
        module.fail_json(msg=str(held))
    except OSError as error:
        module.fail_json(msg=f"The lock beside {module.params['record']} cannot be used: {error.strerror}.")
    module.exit_json(changed=changed, lock=str(module.params["record"]) + SUFFIX)


if __name__ == "__main__":
    main()
