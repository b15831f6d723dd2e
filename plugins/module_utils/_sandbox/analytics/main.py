# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m …_sandbox.analytics.main`"""

from __future__ import annotations

from .service import main

if __name__ == "__main__":
    main()
