# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the real cluster: built from Go modules or unpacked from Debian's packages."""
