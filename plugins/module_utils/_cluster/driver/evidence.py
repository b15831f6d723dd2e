# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence that does not come from the API server: the load's counts, and answers to PromQL queries."""

from __future__ import annotations

import http.client
import json
import math
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._common.tls import trusting
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job import job
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.other import Measured, QueryGate
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.gates.window import Answers, Counted

# A load that writes nothing for so long is not relied on, though its process lives.
STALE_SECONDS = 10.0
QUERY_SECONDS = 4.0


def counted(state_dir: str | None, name: str, now: float) -> Counted | None:
    """What the load of this name has counted, None where there is none. ``now`` is in seconds since the
    epoch."""
    counts = job.counts(state_dir, name)
    if counts["started"] is None or counts["heartbeat"] is None:
        return None
    names = {
        revision: Answers(
            int(row["requests"]),
            int(row["failed"]),
            {int(bound): int(times) for bound, times in counts["response_times"].get(revision, [])},
        )
        for revision, row in counts["revisions"].items()
    }
    heartbeat = float(counts["heartbeat"])
    running = counts["state"] == "running" and now - heartbeat < STALE_SECONDS
    return Counted(heartbeat, float(counts["started"]), names, running)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token elsewhere."""

    def redirect_request(self, *_unused: Any) -> None:
        return None


class Prometheus:
    """A server that answers PromQL. ``token`` is a bearer token; ``ca_file`` the authority that it trusts."""

    def __init__(self, url: str, token: str | None = None, ca_file: str | None = None) -> None:
        """Raises ValueError for a URL that is none, OSError for a file that cannot be read."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"The URL of Prometheus must begin with http:// or https://, unlike {url}.")
        _unused = parts.port  # Raises ValueError for one that is no number.
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        handlers: list[Any] = [_NoRedirect()]
        if parts.scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=trusting(ca_file)))
        self._opener = urllib.request.build_opener(*handlers)

    def value(self, query: str) -> tuple[float | None, str]:
        """(the one value, why there is none)."""
        address = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            request = urllib.request.Request(address, headers=self._headers)
            with self._opener.open(request, timeout=QUERY_SECONDS) as answer:
                body = json.loads(answer.read(1_000_000))
        except urllib.error.HTTPError as error:
            return None, f"Prometheus answered {error.code}"
        # What does not speak HTTP at all raises HTTPException, which is no OSError.
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            return None, f"Prometheus did not answer: {reason}"
        return _single(body)


def _single(body: Any) -> tuple[float | None, str]:
    data = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(data, Mapping) or body.get("status") != "success":
        return None, "what Prometheus answered is no result"
    rows = data.get("result")
    if data.get("resultType") == "scalar":
        rows = [{"value": rows}]
    if not isinstance(rows, list) or not rows:
        return None, "no data"
    if len(rows) > 1:
        return None, f"{len(rows)} series: sum them in the query"
    try:
        value = float(rows[0]["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return None, "what Prometheus answered is no number"
    return (None, "no data (NaN)") if math.isnan(value) else (value, "")


class Queries:
    """Asks each gate's queries when they are due."""

    def __init__(self, gates: Sequence[Any], server: Prometheus | None, clock: Callable[[], float]) -> None:
        self._gates = [gate for gate in gates if isinstance(gate, QueryGate)]
        self._server = server
        self._clock = clock
        self._asked: dict[str, float] = {}

    def due(self, names: Mapping[str, str]) -> dict[str, Measured]:
        """The answers that are new, by gate. ``names`` are put into the queries."""
        found = {}
        for gate in self._gates:
            now = self._clock()
            if now - self._asked.get(gate.name, -math.inf) < gate.interval:
                continue
            self._asked[gate.name] = now
            found[gate.name] = self._measure(gate, names)
        return found

    def _measure(self, gate: QueryGate, names: Mapping[str, str]) -> Measured:
        if self._server is None:
            return Measured(problem="no Prometheus is named")
        value, problem = self._server.value(string.Template(gate.query).safe_substitute(names))
        if problem or not gate.baseline_query:
            return Measured(value, problem=problem)
        baseline, _why = self._server.value(string.Template(gate.baseline_query).safe_substitute(names))
        return Measured(value, baseline)
