#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clock_offset
short_description: Tell how far a host's clock is ahead of the controller's
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Asks the host several times what time it is, over the connection that Ansible has to it, and tells by how
    many seconds its clock is ahead of the controller's, as an interval that surely holds it.
  - Each answer bounds the offset by the time that it took to come, so the interval is as wide as the quickest
    round trip. Where the host's C(date) tells whole seconds only, it is wider.
  - An action plugin does all of it; the host needs a POSIX shell with C(date), and no Python.
requirements:
  - python >= 3.10
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.attributes.info_module
options:
  rounds:
    description: How often to ask. Once more is asked before, so that the connection is there.
    type: int
    default: 5
seealso:
  - module: iter8.kfserving.load_test
  - module: iter8.kfserving.load_merge
"""

EXAMPLES = r"""
- name: Compare the clock of a host that sends load
  iter8.kfserving.clock_offset:
  delegate_to: load-1
  register: clock

- name: Start the load there by the time of the controller
  iter8.kfserving.load_test:
    name: quickstart
    url: http://gateway.example/v1/models/my-model:predict
    clock_ahead: "{{ clock.ahead }}"
  delegate_to: load-1
"""

RETURN = r"""
low:
  description: The host's clock is ahead by at least so many seconds; less than 0 where it may be behind.
  type: float
  returned: success
  sample: 2.994
high:
  description: It is ahead by at most so many.
  type: float
  returned: success
  sample: 3.013
ahead:
  description: The middle of the two.
  type: float
  returned: success
  sample: 3.0035
"""
