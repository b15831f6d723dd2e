# SPDX-License-Identifier: GPL-3.0-or-later
"""The same servers are trusted on every Python; tests/component/load/test_exchange_tls.py has real ones."""

from __future__ import annotations

import ssl

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._common.tls import trusting

STRICT, PARTIAL_CHAIN, TRUSTED_FIRST = 0x20, 0x80000, 0x8000


@pytest.mark.parametrize("given", [TRUSTED_FIRST, TRUSTED_FIRST | STRICT | PARTIAL_CHAIN])
def test_a_pythons_own_settings_make_no_difference(monkeypatch: pytest.MonkeyPatch, given: int) -> None:
    """Those before 3.13, and those since."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_flags = ssl.VerifyFlags(given)
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: made)
    flags = trusting(None).verify_flags
    assert flags & (STRICT | PARTIAL_CHAIN) == PARTIAL_CHAIN
    assert flags & TRUSTED_FIRST
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname


def test_a_file_that_is_none_is_refused() -> None:
    with pytest.raises(OSError, match="No such file"):
        trusting("/nowhere/ca.pem")
