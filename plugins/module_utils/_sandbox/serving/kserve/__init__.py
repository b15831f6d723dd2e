# SPDX-License-Identifier: GPL-3.0-or-later
"""KServe of today, Knative Serving below it and the gateways: each a file of its own, as pure functions.

Each takes the objects as they were when the pass began (:class:`objects.Seen`) and says what it changes. None
sees in the same pass what another has changed, so that every step of the real ones' chain of controllers can
be seen by whoever watches, in the order in which real ones took them (`tests/unit/.../test_conformance.py`
holds them against recordings).
"""
