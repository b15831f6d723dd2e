# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says of itself in the same words; each adds its support and the details."""

from __future__ import annotations


class ModuleDocFragment:
    """C(iter8.kfserving.attributes): what attributes mean; C(.info_module), C(.state_module): support."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what would change, without changing it.
  diff_mode:
    description: Returns what has changed, or would change in check mode, when in diff mode.
  idempotent:
    description:
      - When run twice in a row with the same arguments, outside check mode, the second run changes nothing.
      - This takes it that nothing else has changed in between what the module looks at.
"""

    # To be used together with the fragment above: of modules that only look.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Nothing is changed in any mode.
  diff_mode:
    support: N/A
    details:
      - Nothing is changed in any mode.
  idempotent:
    support: full
    details:
      - Nothing is changed in any mode.
"""

    # Likewise: of modules that bring about a state.
    STATE_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
"""
