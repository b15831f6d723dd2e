#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_merge
short_description: Put the results of several load generators together, exact to the request
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Reads the results of the parts of one load, which M(iter8.kfserving.load_test) sent with its option
    O(iter8.kfserving.load_test#module:parts) on several hosts, and writes one result of the same format, as
    if one generator had sent all of it. Counts, histograms, seconds and the records of failed requests are
    added up; the longest time without a success is that in which none of them had one.
  - RV(generators) names each with its part, its counts, its clock and how it ended. One without a result is
    named, too, and the load is C(interrupted) then, by which the verdict is inconclusive.
requirements:
  - python >= 3.9
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.state_module
options:
  generators:
    description: The generators, in the order of their parts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What it is called in the result, such as its host.
        type: str
        required: true
      path:
        description:
          - Its result, a file on the host that this module runs on; without it the generator left none.
        type: path
      clock_offsets:
        description:
          - By how much its host's clock was found to be ahead, before the load and after it, each with C(low)
            and C(high) in seconds as M(iter8.kfserving.clock_offset) returns them. All of the load's times
            are corrected by what the load was started with; what remains is uncertain.
        type: list
        elements: dict
        default: []
      problem:
        description: Why it left no result, or what befell its host.
        type: str
        default: ""
  dest:
    description: File to write the result to. A file that is there is replaced.
    type: path
    required: true
seealso:
  - module: iter8.kfserving.load_test
  - module: iter8.kfserving.clock_offset
"""

EXAMPLES = r"""
- name: Put the results of two hosts together
  iter8.kfserving.load_merge:
    generators:
      - name: load-1
        path: build/e2e/generators/load-1.json
        clock_offsets: ["{{ before.results[0] }}", "{{ after.results[0] }}"]
      - name: load-2
        problem: unreachable
    dest: build/e2e/load.json
"""

RETURN = r"""
generators:
  description: The generators, as C(LoadTest.generators) of the result has them.
  type: list
  elements: dict
  returned: success
  sample:
    - name: load-1
      index: 0
      of: 2
      state: stopped
      requests: 1200
      failed: 0
requests:
  description: How many requests ended in all.
  type: int
  returned: success
failed:
  description: How many of them failed.
  type: int
  returned: success
status:
  description: How the load ended, as of M(iter8.kfserving.load_test); the worst of all generators.
  type: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain, printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.together import ensure_merged

ARGUMENTS = {
    "generators": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "path": {"type": "path"},
            "clock_offsets": {"type": "list", "elements": "dict", "default": []},
            "problem": {"type": "str", "default": ""},
        },
    },
    "dest": {"type": "path", "required": True},
}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**plain(ensure_merged(module.params, module.check_mode), printable_lines))
    except LoadError as error:
        module.fail_json(msg=printable_lines(str(error)))


if __name__ == "__main__":
    main()
