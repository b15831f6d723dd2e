# SPDX-License-Identifier: GPL-3.0-or-later
"""Which servers are trusted: the same on every Python."""

from __future__ import annotations

import ssl
from typing import Optional

# Python has had a name for it since 3.10.
_PARTIAL_CHAIN = 0x80000


def trusting(ca_file: Optional[str]) -> ssl.SSLContext:
    """Verifies a server by the CAs of this file, or by the system's without one.

    What a request gets must not depend on the Python that sends it. Python 3.13 began to hold certificates to
    RFC 5280's letter, so that it refuses a private CA without an Authority Key Identifier, and to take an
    intermediate CA of the file for an end of the chain (``ssl.create_default_context``, changed in 3.13). Of
    other clients of a model curl and Go do not ask for the first and do the second: so does this.
    Raises OSError or ssl.SSLError for a file that cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | _PARTIAL_CHAIN
    return context
