# SPDX-License-Identifier: GPL-3.0-or-later
"""A load as a detached process: started, looked at, stopped, its files."""
