#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_test_info
short_description: Tell how far a load is and how it ended
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Reads the state of a load that M(iter8.kfserving.load_test) started on this host, while it runs or after.
requirements:
  - python >= 3.9
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  name:
    description: The load's name.
    type: str
    required: true
  state_dir:
    description: Folder for the state of loads, as given to M(iter8.kfserving.load_test).
    type: path
seealso:
  - module: iter8.kfserving.load_test
"""

EXAMPLES = r"""
- name: Wait until the load has sent a hundred requests
  iter8.kfserving.load_test_info:
    name: quickstart
  register: load
  until: load.progress.requests >= 100
  retries: 60
  delay: 1
"""

RETURN = r"""
status:
  description: What the load is doing now. As of M(iter8.kfserving.load_test).
  returned: success
  type: str
  choices: [absent, running, finished, stopped, aborted, interrupted]
  sample: running
progress:
  description: How far the load is, at most about a second old. As of M(iter8.kfserving.load_test).
  returned: success
  type: dict
result:
  description: The whole result once the load has ended, otherwise none. As of M(iter8.kfserving.load_test).
  returned: success
  type: dict
result_file:
  description: The file that has it, otherwise empty. As of M(iter8.kfserving.load_test).
  returned: success
  type: str
report:
  description: The end of the run in words, in the shape of Fortio's; empty while it goes on.
  returned: success
  type: str
  sample: "Ended after 5m0s : 600 calls. qps=2"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain, printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.ensure import describe


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "state_dir": {"type": "path"}},
        supports_check_mode=True,
    )
    try:
        result = plain(describe(module.params["state_dir"], module.params["name"]), printable_lines)
        module.exit_json(changed=False, **result)
    except LoadError as error:
        module.fail_json(msg=printable_lines(str(error)))


if __name__ == "__main__":
    main()
