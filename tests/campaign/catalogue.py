# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults and harmless variations of the campaign."""

from __future__ import annotations

import faults_control
import faults_data
import harmless

FAULTS = (*faults_data.FAULTS, *faults_control.FAULTS, *harmless.VARIATIONS)
