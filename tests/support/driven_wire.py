# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire between a driver's real client and the API server in memory, on which answers go wrong."""

from __future__ import annotations

import copy
import datetime
import json
import urllib.error
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import Conflict, NotFound
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.driver.lease import SECONDS
from ansible_collections.iter8.kfserving.tests.support.driven_api import KINDS, DrivenApi
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ProtocolError

STATUSES = {
    "500": "etcdserver: request timed out",
    "503": "the server is currently unable to handle the request",
    "429": "too many requests",
    "409": "the object has been modified",
    "410": "the resourceVersion is too old",
    "401": "Unauthorized",
    "403": "forbidden: no such right any more",
    "400": 'admission webhook "guard.example.com" denied the request: not now',
    "404": "the server could not find the requested resource",
    "422": "is invalid",
}
_STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_GOOD = b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "0.5"]}}'


class Answer:
    """What urllib3 and urllib give."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.headers: dict[str, str] = {}

    def release_conn(self) -> None:
        """Nothing is held."""

    def read(self, _most: int) -> bytes:
        return self.data

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_unused: Any) -> None:
        return None


class Wire:
    """From the first request at which `when` is true, after `begin`, those of the `kinds` (as "GET pods") are
    answered `wrongly`, for so many `seconds`. A patch that comes without the Lease fails the test."""

    configuration = SimpleNamespace(host="https://cluster")

    def __init__(self, holder: str, api: DrivenApi, clock: Callable[[], float]) -> None:
        self._holder, self._api, self._clock = holder, api, clock
        self.kinds: tuple[str, ...] = ()
        self.wrongly, self.seconds = "", 0.0
        self.when: Callable[[], bool] = lambda: False
        self.begin: Callable[[], None] = lambda: None
        self.began: float | None = None
        self._before: dict[str, Any] = {}

    def request(self, method: str, path: str, body: Any = None, **_unused: Any) -> Answer:
        parts = path.split("/")
        if "namespaces" not in parts:
            rows = [{"kind": k, "name": n, "namespaced": s, "verbs": []} for k, (n, s) in KINDS.items()]
            return Answer(json.dumps({"resources": rows}).encode())
        plural = parts[parts.index("namespaces") + 2]
        wrong = self._wrong(f"{method} {plural}")
        if wrong == "refused":
            raise ProtocolError("Connection refused")
        if wrong == "deleted" or wrong in STATUSES:
            raise _status(wrong, parts[-1])
        if (method, plural) == ("PATCH", "inferenceservices"):
            self._must_hold()
        try:
            found = self._carried_out(method, path, body)
        except NotFound:
            raise _status("deleted", parts[-1]) from None
        except Conflict:
            raise _status("409", parts[-1]) from None
        before = self._before.setdefault(path, copy.deepcopy(found))
        if wrong == "lost":
            raise ProtocolError("Connection reset by peer")
        if wrong == "another one":
            found = {**found, "metadata": {**found["metadata"], "uid": "uid-2"}}
        bodies = {"no JSON": b"<html>Sign in</html>", "{}": b"{}", "of before": json.dumps(before).encode()}
        return Answer(bodies.get(wrong) or json.dumps(found).encode())

    def open(self, _request: Any, **_unused: Any) -> Answer:
        """Prometheus."""
        wrong = self._wrong("GET prometheus")
        if wrong in STATUSES:
            raise urllib.error.HTTPError("http://p", int(wrong), "", None, None)  # type: ignore[arg-type]
        if wrong == "refused":
            raise urllib.error.URLError("Connection refused")
        return Answer({"": _GOOD, "no JSON": b"<html>"}.get(wrong, b"{}"))

    def _wrong(self, kind: str) -> str:
        """The wrong answer that this request gets, empty for the right one."""
        if self.began is None and self.when():
            self.began = self._clock()
            self.begin()
        on = self.began is not None and self._clock() - self.began < self.seconds
        return self.wrongly if on and kind in self.kinds else ""

    def _carried_out(self, method: str, path: str, body: Any) -> Any:
        if method == "GET":
            return self._api.get(path)
        write = {"POST": self._api.create, "PUT": self._api.replace, "PATCH": self._api.merge}[method]
        return write(path, body)

    def _must_hold(self) -> None:
        (path,) = [path for path in self._api.objects if "/leases/" in path]
        spec = self._api.objects[path]["spec"]
        renewed = datetime.datetime.strptime(spec["renewTime"], _STAMP).replace(tzinfo=datetime.timezone.utc)
        assert spec["holderIdentity"] == self._holder
        assert self._clock() - renewed.timestamp() < SECONDS


def _status(wrong: str, name: str) -> ApiException:
    error = ApiException(status=404 if wrong == "deleted" else int(wrong), reason="")
    details = {"details": {"name": name}} if wrong == "deleted" else {}
    error.body = json.dumps({"message": STATUSES.get(wrong, f"{name} not found"), **details})
    error.headers = {"Retry-After": "7"} if wrong == "503" else {}
    return error
