# SPDX-License-Identifier: GPL-3.0-or-later
"""What Envoy's response flags mean during a shift of traffic, and what to look at."""

from __future__ import annotations

# Envoy's documentation of %RESPONSE_FLAGS%; the cause is the usual one while weights move.
MEANINGS = {
    "UH": "no healthy endpoint: the weight moved before the revision was ready",
    "UF": "no connection to the endpoint: a pod that is gone still had traffic",
    "UC": "the endpoint closed the connection: a pod ended amid requests, or a kept connection was stale",
    "UR": "the endpoint reset the request",
    "UO": "too many requests for the endpoint: a circuit breaker is open",
    "UT": "the endpoint did not answer in time",
    "NR": "no route: a gap in the routes",
    "NC": "no such cluster: a route names what was removed",
    "LR": "the gateway itself reset the connection",
    "DC": "the client hung up first",
    "DPE": "the request broke the protocol",
    "UPE": "the endpoint's answer broke the protocol",
    "SI": "the stream was idle for too long",
    "DT": "the request or its connection lasted too long",
    "URX": "the gateway's own retries were used up",
    "RL": "a rate limit",
    "UAEX": "refused by external authorisation",
    "RLSE": "the rate limit service failed",
    "IH": "a header was not acceptable",
    "DO": "no resource was left at the gateway",
}


def meaning(flags: str) -> str:
    """What the flags say; flags that are not known stand as they are."""
    meanings = [f"{flag}, {MEANINGS[flag]}" if flag in MEANINGS else flag for flag in flags.split(",")]
    return "; ".join(meanings)
