#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: timeline_mark
short_description: Write what a playbook does into the timeline of a rollout
description:
  - Appends one event to a file of JSON lines, stamped with the clock of the host on which the module runs.
    Run it where the load runs, whose clock decides which requests came before an event and which after it.
  - The line is written at once and whole, so that waits may append to the same file (their
    O(iter8.kfserving.experiment_wait#module:progress_file)).
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
requirements:
  - python >= 3.10
extends_documentation_fragment:
  - iter8.kfserving.attributes
options:
  path:
    description: The timeline. It is made if it is not there, and its folder too.
    type: path
    required: true
  event:
    description: What kind of event it is, one word for programs.
    type: str
    required: true
  text:
    description: What has happened, one line for people.
    type: str
    required: true
  data:
    description: Figures and names that go with it.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each run is an event of its own.
seealso:
  - module: iter8.kfserving.rollout_verdict
"""

EXAMPLES = r"""
- name: Date the canary
  iter8.kfserving.timeline_mark:
    path: build/e2e/timeline.jsonl
    event: canary_applied
    text: The canary is applied
    data:
      baseline: my-model-predictor-default-00001
"""

RETURN = r"""
entry:
  description: The event as it was written, or would be in check mode.
  type: dict
  returned: success
  sample:
    time: 1795844291.153
    source: playbook
    event: canary_applied
    text: The canary is applied
    data: {}
  contains:
    time:
      description: When it happened, in seconds since the epoch.
      type: float
      returned: always
    source:
      description: Always V(playbook).
      type: str
      returned: always
    event:
      description: As given.
      type: str
      returned: always
    text:
      description: As given.
      type: str
      returned: always
    data:
      description: As given.
      type: dict
      returned: always
"""

import json
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._common.files import (
    append_line,
    expanded,
    require_own_folder,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "event": {"type": "str", "required": True},
    "text": {"type": "str", "required": True},
    "data": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path = module.params["path"]
    event = {name: module.params[name] for name in ("event", "text", "data")}
    # Playbooks pass on what a cluster said.
    entry = plain({"time": round(time.time(), 3), "source": "playbook", **event})
    if not module.check_mode:
        try:
            file = Path(expanded(path)).absolute()
            file.parent.mkdir(parents=True, exist_ok=True)
            require_own_folder(file.parent, shared=True)
            append_line(file, json.dumps(entry, allow_nan=False))
        except OSError as error:
            module.fail_json(msg=f"The timeline {path} cannot be written: {error.strerror}.")
    module.exit_json(changed=True, entry=entry)


if __name__ == "__main__":
    main()
