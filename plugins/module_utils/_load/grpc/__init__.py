# SPDX-License-Identifier: GPL-3.0-or-later
"""gRPC as bytes: messages, what frames them, what a call sends, what becomes of its answer. No I/O."""
