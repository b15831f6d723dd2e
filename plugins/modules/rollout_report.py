#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_report
short_description: Write the report of a rollout for people and for CI
description:
  - Writes four files into O(dest). C(report.html) is one page that needs no network, with the verdict first
    and a timeline, the failed requests and all evidence below. C(junit.xml) has one case a claim, an
    inconclusive one counting as an error. C(metrics.txt) is OpenMetrics text. C(summary.md) suits a comment
    on a pull request.
  - They are written whatever the outcome. What is missing is said in them, and each file is replaced as a
    whole.
  - With O(rollouts) it sums up several rollouts by their verdicts. C(report.html) then has one row a rollout,
    with a link to its own report, and C(junit.xml) one case a rollout; C(summary.json) is for scripts, and
    there is no C(metrics.txt). The verdict on the whole is the worst of all, and a rollout without one is
    inconclusive.
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
extends_documentation_fragment:
  - iter8.kfserving.evidence
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  verdict:
    description:
      - Path of the verdict that M(iter8.kfserving.rollout_verdict) wrote.
      - Where it is missing or damaged, or counts other requests than O(load), the rest is judged by the
        default thresholds.
    type: path
  rollouts:
    description: The rollouts to sum up, in the order in which they are told.
    type: list
    elements: dict
    suboptions:
      name:
        description: The rollout's name.
        type: str
        required: true
      artifacts:
        description: The folder with its artefacts, C(verdict.json) among them.
        type: path
        required: true
  rerun:
    description: The command that does it all again, shown at the end of the page.
    type: str
  dest:
    description:
      - The folder to write into. With O(state=present) it must exist, unless O(rollouts) are summed up.
    type: path
    required: true
  state:
    description:
      - V(absent) deletes what an earlier run left in O(dest), evidence and verdict too, so that it does not
        pass for the next one's. It deletes only files that carry this collection's mark, and refuses a
        folder in which another file has the name of one.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    details:
      - Makes the report, and writes nothing.
  idempotent:
    details:
      - The same evidence gives the same files.
seealso:
  - module: iter8.kfserving.rollout_verdict
"""

EXAMPLES = r"""
- name: Write the report
  iter8.kfserving.rollout_report:
    verdict: build/e2e/verdict.json
    load: build/e2e/load.json
    timeline: build/e2e/timeline.jsonl
    experiment: build/e2e/experiment.json
    inferenceservice: build/e2e/inferenceservice.json
    observations: build/e2e/observations.jsonl
    rerun: make e2e
    dest: build/e2e

- name: Sum up several rollouts
  iter8.kfserving.rollout_report:
    rollouts:
      - name: iris
        artifacts: build/e2e/iris
      - name: flowers
        artifacts: build/e2e/flowers
    dest: build/e2e

- name: Clear what an earlier run left
  iter8.kfserving.rollout_report:
    dest: build/e2e
    state: absent
"""

RETURN = r"""
files:
  description: File name to path, of what was written or deleted.
  returned: success
  type: dict
  sample:
    report.html: build/e2e/report.html
    junit.xml: build/e2e/junit.xml
    metrics.txt: build/e2e/metrics.txt
    summary.md: build/e2e/summary.md
verdict:
  description: V(pass), V(fail) or V(inconclusive).
  returned: with O(state=present)
  type: str
  sample: pass
summary:
  description: The verdict in one line.
  returned: with O(state=present)
  type: str
rollouts:
  description: Each rollout as C(summary.json) has it.
  returned: with O(rollouts)
  type: list
  elements: dict
runbooks:
  description: What to do about those that are no pass, as files of the collection.
  returned: with O(rollouts)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._report.arguments import EVIDENCE
from ansible_collections.iter8.kfserving.plugins.module_utils._report.clear import clear
from ansible_collections.iter8.kfserving.plugins.module_utils._report.files import ArtefactError
from ansible_collections.iter8.kfserving.plugins.module_utils._report.overview.publish import sum_up
from ansible_collections.iter8.kfserving.plugins.module_utils._report.publish import publish

ARGUMENTS = {
    "verdict": {"type": "path"},
    **EVIDENCE,
    "rollouts": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "artifacts": {"type": "path", "required": True},
        },
    },
    "rerun": {"type": "str"},
    "dest": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    alone = [("rollouts", name) for name in ("verdict", "rerun", *EVIDENCE)]
    module = AnsibleModule(ARGUMENTS, mutually_exclusive=alone, supports_check_mode=True)
    try:
        if module.params["state"] == "absent":
            module.exit_json(**clear(module.params["dest"], module.check_mode))
        if module.params["rollouts"] is not None:
            module.exit_json(**sum_up(module.params, module.check_mode))
        module.exit_json(**publish(module.params, module.check_mode))
    except ArtefactError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
