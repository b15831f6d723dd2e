# SPDX-License-Identifier: GPL-3.0-or-later
"""The access logs of the gateways that KServe is used with: how each names the request and who was asked.

Who was asked stands there as a cluster's name that holds the revision's, or as the address of a pod, which
the observer knows. An Envoy tells failures by its response flags, Traefik does not.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..evidence.access_log import ISTIO, REVISION, Format

# The address before the port, with or without brackets.
POD_ADDRESS = r"^\[?([^\]]+?)\]?:\d+$"

# Envoy's own format, which Kourier and others leave as it is, and Istio's text, with more between.
# envoyproxy.io/docs: "Default Format String"; istio.io: "Default access log format".
_ENVOY = (
    r'\[(?P<time>[^\]]+)\] "[^"]*" (?P<status>\d+) (?P<flags>\S+) \d+ \d+ (?P<duration>\d+) \S+ '
    r'"[^"]*" "[^"]*" "(?P<request_id>[^"]*)" "[^"]*" "(?P<upstream>[^"]*)"'
)
_ISTIO_TEXT = (
    r'\[(?P<time>[^\]]+)\] "[^"]*" (?P<status>\d+) (?P<flags>\S+) \S+ \S+ "[^"]*" \d+ \d+ '
    r'(?P<duration>\d+) \S+ "[^"]*" "[^"]*" "(?P<request_id>[^"]*)" "[^"]*" "[^"]*" (?P<upstream>\S+)'
)

FORMATS: Mapping[str, Format] = {
    # What trimmed_log makes of any of the others.
    "kept": Format(revision=r"^(.+)$"),
    # Istio with accessLogEncoding JSON; Kourier with a service-access-log-template of the same names.
    "istio": Format(),
    "kourier": Format(),
    "istio_text": Format(line=_ISTIO_TEXT),
    "envoy": Format(line=_ENVOY, revision=POD_ADDRESS),
    # Envoy Gateway's default (gateway.envoyproxy.io, "Proxy Access Logs").
    "envoy_gateway": Format(
        {**ISTIO, "request_id": "x-request-id", "upstream": "upstream_host"}, POD_ADDRESS
    ),
    # Traefik in JSON, with fields.headers.names.X-Request-Id kept; its durations are in nanoseconds
    # (doc.traefik.io, "Access Logs").
    "traefik": Format(
        {
            "request_id": "request_X-Request-Id",
            "time": "StartUTC",
            "duration": "Duration",
            "status": "DownstreamStatus",
            "flags": "",
            "upstream": "ServiceAddr",
        },
        POD_ADDRESS,
        duration_ms=1e-6,
    ),
}


def named(gateway: str, fields: Mapping[str, str], revision_pattern: str) -> Format:
    """The gateway's format with what the user says otherwise.

    :raises ValueError: for a pattern or a field that makes no sense.
    """
    known = FORMATS[gateway]
    if not fields and not revision_pattern:
        return known
    revision = revision_pattern or (known.revision if not fields else REVISION)
    if known.line and fields:
        raise ValueError(f"the lines of {gateway} have no fields that could be named.")
    return Format({**known.fields, **fields}, revision, known.line, known.duration_ms)
