# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server as the node sees it: JSON over HTTPS, with the identity of a kubeconfig.

The node speaks plain JSON rather than the client library's models: it starts in a fraction of the time and
what it does not know of a pod passes through untouched.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional
from urllib.parse import urlencode

import urllib3
import yaml

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

_CALL_TIMEOUT = urllib3.Timeout(connect=5, read=30)


class ApiError(Exception):
    """The API server refused. `status` is the HTTP status code, `reason` its machine-readable reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later: overload, or a server that starts or stops."""
        # 401 and 403 too: an API server that has just started may not have loaded its roles and tokens yet.
        return self.status in (401, 403, 408, 429) or self.status >= 500


class ApiUnreachable(Exception):
    """The API server did not answer."""


@dataclass(frozen=True)
class Access:
    """Where the API server is and how to prove who one is. `ca` is PEM text."""

    server: str
    ca: str
    token: str = ""
    client_certificate: str = ""
    client_key: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """Verifies the server by `ca` alone and offers the client certificate, if there is one."""
        context = ssl.create_default_context(cadata=self.ca)
        if self.client_certificate:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as both:
                both.write(self.client_certificate.rstrip() + "\n" + self.client_key)
                both.flush()
                context.load_cert_chain(both.name)
        return context


def _named(entries: Any, name: str, what: str, path: Path) -> Json:
    for entry in entries or ():
        if entry.get("name") == name:
            found: Json = entry.get(what) or {}
            return found
    raise ValueError(f"{path} has no {what} {name!r}.")


def _content(holder: Mapping[str, Any], key: str, base: Path) -> str:
    """The text of `key` (a file, relative to the kubeconfig) or `<key>-data` (base64); "" if neither."""
    if holder.get(f"{key}-data"):
        return base64.b64decode(holder[f"{key}-data"]).decode()
    if holder.get(key):
        return (base / str(holder[key])).read_text(encoding="utf-8")
    return ""


def read_kubeconfig(path: Path) -> Access:
    """Read the current context of a kubeconfig. Raises ValueError or OSError if it cannot be used."""
    try:
        return _access(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, path)
    except (KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is no kubeconfig that can be used: {error!r}.") from error


def _access(document: Mapping[str, Any], path: Path) -> Access:
    context = _named(document.get("contexts"), document.get("current-context", ""), "context", path)
    cluster = _named(document.get("clusters"), context.get("cluster", ""), "cluster", path)
    user = _named(document.get("users"), context.get("user", ""), "user", path)
    ca = _content(cluster, "certificate-authority", path.parent)
    if not ca:
        raise ValueError(
            f"{path} names no certificate-authority: the node only speaks to a server it can verify."
        )
    token = user.get("token", "")
    if not token and user.get("tokenFile"):
        token = (path.parent / user["tokenFile"]).read_text(encoding="utf-8").strip()
    return Access(
        server=cluster["server"].rstrip("/"),
        ca=ca,
        token=token,
        client_certificate=_content(user, "client-certificate", path.parent),
        client_key=_content(user, "client-key", path.parent),
    )


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        answer = json.loads(body)
        return ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
    except (ValueError, AttributeError):
        return ApiError(status, "", body[:200].decode(errors="replace").strip())


class Api:
    """Calls to the API server; blocking, and safe to use from several threads."""

    def __init__(self, access: Access) -> None:
        self.access = access
        headers = {"Accept": "application/json", "User-Agent": "iter8-kfserving-node"}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=8, headers=headers, ssl_context=access.ssl_context(), retries=False
        )

    def call(
        self,
        method: str,
        path: str,
        body: Optional[Json] = None,
        content_type: str = "application/json",
        query: Optional[Mapping[str, str]] = None,
    ) -> Json:
        """One call; the object that the server answers. Raises ApiError or ApiUnreachable."""
        try:
            response = self._pool.request(
                method,
                self._url(path, query),
                body=None if body is None else json.dumps(body).encode(),
                headers={**self._pool.headers, "Content-Type": content_type},
                timeout=_CALL_TIMEOUT,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(f"{method} {path}: {error}") from error
        if response.status >= 300:
            raise _refusal(response.status, response.data)
        answer = json.loads(response.data)
        return answer if isinstance(answer, dict) else {}

    def watch(self, path: str, query: Mapping[str, str], quiet_seconds: float) -> Iterator[Json]:
        """The events of a watch, until the server ends it.

        Raises ApiError or ApiUnreachable; the latter also if nothing came for `quiet_seconds`.
        """
        response: Optional[urllib3.BaseHTTPResponse] = None
        try:
            response = self._pool.request(
                "GET",
                self._url(path, {**query, "watch": "1"}),
                preload_content=False,
                timeout=urllib3.Timeout(connect=5, read=quiet_seconds),
            )
            if response.status >= 300:
                raise _refusal(response.status, response.data)
            rest = b""
            for chunk in response.stream(2**16):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line)
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(f"watch {path}: {error}") from error
        finally:
            if response is not None:
                # Not given back to the pool: its stream has not been read to the end.
                response.close()

    def _url(self, path: str, query: Optional[Mapping[str, str]]) -> str:
        return self.access.server + path + ("?" + urlencode(query) if query else "")
