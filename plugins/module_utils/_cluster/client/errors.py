# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between us and an API server, by what the user can do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


class ClusterError(Exception):
    """A fault with a message fit for a user: what happened, where, and what to do next."""


class Refusal(ClusterError):
    """What is asked is not safe: the cluster is not named, or more than the run's own would be touched."""


class Unreachable(ClusterError):
    """No answer, or an answer that says to come again later (429, 5xx).

    ``retry_after`` are the seconds after which the server wants to be asked again, None where it names none.
    """

    retry_after: float | None = None


class Unauthorized(ClusterError):
    """401: the credentials are not accepted."""


class Forbidden(ClusterError):
    """403: the credentials lack a right."""


class NotFound(ClusterError):
    """404: no such object (``certain``), or only no such path, at least at this moment."""

    certain = True


class UnknownKind(NotFound):
    """The API server does not serve the kind: its CRD is not there (yet)."""


class Conflict(ClusterError):
    """409: the object is not the one that was meant, or is in a state that forbids the change.

    ``fields`` are those that other managers own, each with the manager, after a server-side apply.
    """

    fields: tuple[tuple[str, str], ...] = ()


class Gone(ClusterError):
    """410: the resourceVersion is too old to watch from."""


class BadRequest(ClusterError):
    """Any other 4xx: the request itself is wrong."""


class MethodNotAllowed(BadRequest):
    """405: the kind knows no such request."""


class NoDryRun(BadRequest):
    """400: a webhook guards the object whose configuration does not say that it may be asked in a dry run, as
    KFServing's do not."""


_BY_STATUS = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    429: Unreachable,
}

# The words of the API server (pkg/util/webhook); the Status has no reason of its own for it.
_NO_DRY_RUN = "does not support dry run"

_MANAGER = re.compile(r'^conflict with "(.*)".*$', re.DOTALL)

_RETRY_SECONDS_LEAST = 0.2

# What authorizers say of a right that is missing. Webhooks, policies, quotas and namespaces that are being
# deleted answer 403 as well, and granting mends none of them.
_LACKS_RIGHT = re.compile(r'\buser "[^"]*"( \(.*\))? (cannot|is attempting to grant) ', re.I | re.S)
_ADVICE = {
    401: " Check the credentials of the kubeconfig's context.",
    403: " Grant the user this right, or name a context that has it.",
}


def from_status(
    status: int, body: Mapping[str, Any] | str, where: str, headers: Mapping[str, str] | None = None
) -> ClusterError:
    """The error for an answer ``status`` to ``where`` (``GET https://…``), with the server's message."""
    message = body.get("message") if isinstance(body, Mapping) else body
    reported = f": {message}" if message else ""
    kind = _BY_STATUS.get(status) or (Unreachable if status >= 500 else BadRequest)
    if status == 400 and _NO_DRY_RUN in str(message):
        kind = NoDryRun
    refused = status == 403 and isinstance(body, Mapping) and not _LACKS_RIGHT.search(str(message))
    advice = "" if refused else _ADVICE.get(status, "")
    error = kind(f"{where} was answered {status}{reported}.{advice}")
    if isinstance(error, NotFound):
        details = body.get("details") if isinstance(body, Mapping) else None
        error.certain = isinstance(details, Mapping) and bool(details.get("name"))
    if isinstance(error, Unreachable):
        error.retry_after = _retry_after(headers or {})
    if isinstance(error, Conflict):
        error.fields = _owned_by_others(body)
    return error


def _owned_by_others(body: Mapping[str, Any] | str) -> tuple[tuple[str, str], ...]:
    """The fields and their managers that a Status names as conflicts of a server-side apply."""
    details = body.get("details") if isinstance(body, Mapping) else None
    causes = details.get("causes") if isinstance(details, Mapping) else None
    found = [
        (str(cause.get("field") or "a field"), str(cause.get("message") or ""))
        for cause in (causes if isinstance(causes, list) else [])
        if isinstance(cause, Mapping) and cause.get("reason") == "FieldManagerConflict"
    ]
    # The manager stands in the message alone: conflict with "kubectl" using apps/v1
    return tuple((name, _MANAGER.sub(r"\1", message) or "another manager") for name, message in found)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The header in seconds; at least some, lest a server that says 0 be asked without a pause."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    # Kubernetes gives seconds; what stands before it may give a date, which is not worth two clocks.
    return max(float(value), _RETRY_SECONDS_LEAST) if value.isdigit() else 1.0


def untrusted(host: str, reason: str) -> ClusterError:
    """The error for TLS that failed. Only a certificate that was looked at and refused is not to be trusted;
    a handshake that was cut off, as it is when a load balancer or the server ends, is no answer."""
    if "certificate" not in reason.lower():
        return Unreachable(f"The TLS handshake with {host} did not come to an end: {reason}.")
    return ClusterError(
        f"The certificate of {host} could not be verified: {reason}. "
        "Give the cluster's CA in the kubeconfig or as ca_cert."
    )
