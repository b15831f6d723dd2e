# SPDX-License-Identifier: GPL-3.0-or-later
"""The API server as the sandbox's programs see it: JSON over HTTPS, with the identity of a kubeconfig.

The one client of the node, the controllers and the handlers. It speaks plain JSON rather than the models of
the `kubernetes` package: a program starts in a fraction of the time, and what it does not know of an object
passes through untouched. (kopf, in the controllers, watches by itself and only says when to look.)
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Union
from urllib.parse import urlencode

with contextlib.suppress(ImportError):  # The module `sandbox` reports them.
    import urllib3
    import yaml

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_CONNECT_SECONDS = 5
_READ_SECONDS = 30


class ApiError(Exception):
    """The API server refused, or did not answer. Its text is one line.

    status: the HTTP status code; 0 without an answer. reason: the machine-readable reason, or "".
    message: what the API server says of it. object_name: the object that it speaks of, or "".
    """

    def __init__(self, status: int, reason: str, message: str, object_name: str = "") -> None:
        self.status = status
        self.reason = reason
        self.message = " ".join(message.split())
        self.object_name = object_name
        super().__init__(f"{status} {reason}: {self.message}" if status else self.message)

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later: no answer, overload, or a server that starts or stops."""
        # 401 and 403 too: an API server that has just started may not have loaded its roles and tokens yet.
        return self.status in (0, 401, 403, 408, 429) or self.status >= 500

    @property
    def missing(self) -> bool:
        """Whether the object does not exist. An API server that has just started answers 404, too, while it
        does not serve the kind yet; such an answer names no object."""
        return self.status == 404 and bool(self.object_name)


class ApiUnreachable(ApiError):
    """The API server did not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "", message)


@dataclass(frozen=True)
class Access:
    """Where the API server is and how to prove who one is.

    ca: PEM text. token_file: where the token is renewed while the program runs; it comes before `token`.
    """

    server: str
    ca: str
    token: str = ""
    token_file: Optional[Path] = None
    client_certificate: str = ""
    client_key: str = ""

    def bearer(self) -> str:
        """The token as it is now; "" if there is none."""
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except OSError:
            # The folder of a pod goes while its last program may still have something to say.
            return self.token

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
            f"{path} names no certificate-authority: only a server that can be verified is spoken to."
        )
    return Access(
        server=cluster["server"].rstrip("/"),
        ca=ca,
        token=user.get("token", ""),
        token_file=path.parent / user["tokenFile"] if user.get("tokenFile") else None,
        client_certificate=_content(user, "client-certificate", path.parent),
        client_key=_content(user, "client-key", path.parent),
    )


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        answer = json.loads(body)
        details = answer.get("details") or {}
        return ApiError(
            status,
            str(answer.get("reason", "")),
            str(answer.get("message", "")),
            str(details.get("name", "")),
        )
    except (ValueError, AttributeError):
        return ApiError(status, "", body[:200].decode(errors="replace"))


class KubeClient:
    """Calls to the API server, by path (see `resources`). Blocking, and safe to use from several threads.

    Each raises ApiError, of which ApiUnreachable is one.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=8, ssl_context=access.ssl_context(), retries=False
        )

    def get(self, path: str) -> Json:
        """One object."""
        return self.call("GET", path)

    def find(self, path: str) -> Optional[Json]:
        """One object, or None where there is none of that name."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.missing:
                return None
            raise

    def items(self, path: str, labels: str = "") -> list[Json]:
        """All objects of a kind, as a consistent read. `labels` is a label selector."""
        answer = self.call("GET", path, query={"labelSelector": labels} if labels else None)
        return list(answer["items"])

    def create(self, path: str, body: Json) -> Json:
        """Create an object; `path` is that of its kind and namespace."""
        return self.call("POST", path, body)

    def patch(
        self,
        path: str,
        body: Union[Mapping[str, Any], list[Json]],
        content_type: str = MERGE,
        field_manager: str = "",
    ) -> Json:
        """Change an object, and return it as it is then."""
        query = {"fieldManager": field_manager} if field_manager else None
        return self.call("PATCH", path, body, content_type, query)

    def replace(self, path: str, body: Json) -> Json:
        """Replace an object, or its status."""
        return self.call("PUT", path, body)

    def delete(self, path: str) -> None:
        """Delete an object and, in the background, what it owns."""
        self.call("DELETE", path, {"propagationPolicy": "Background"})

    def call(
        self,
        method: str,
        path: str,
        body: Union[Mapping[str, Any], list[Json], None] = None,
        content_type: str = "application/json",
        query: Optional[Mapping[str, str]] = None,
    ) -> Json:
        """One call; the object that the server answers."""
        try:
            response = self._pool.request(
                method,
                self._url(path, query),
                body=None if body is None else json.dumps(body).encode(),
                headers={**self._headers(), "Content-Type": content_type},
                timeout=self._timeout,
            )
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnreachable(f"{method} {path}: {error}") from error
        if response.status >= 300:
            raise _refusal(response.status, response.data)
        answer = json.loads(response.data)
        return answer if isinstance(answer, dict) else {}

    def healthy(self, path: str) -> bool:
        """Whether the server answers a check, such as `/readyz`, with success. Raises nothing."""
        try:
            response = self._pool.request(
                "GET", self._url(path, None), headers=self._headers(), timeout=self._timeout
            )
        except urllib3.exceptions.HTTPError:
            return False
        return bool(response.status < 300)

    def watch(self, path: str, query: Mapping[str, str], quiet_seconds: float) -> Iterator[Json]:
        """The events of a watch, until the server ends it.

        Raises ApiUnreachable also if nothing came for `quiet_seconds`.
        """
        response: Optional[urllib3.BaseHTTPResponse] = None
        try:
            response = self._pool.request(
                "GET",
                self._url(path, {**query, "watch": "1"}),
                headers=self._headers(),
                preload_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=quiet_seconds),
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

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "iter8-kfserving-sandbox"}
        token = self.access.bearer()
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def _url(self, path: str, query: Optional[Mapping[str, str]]) -> str:
        return self.access.server + path + ("?" + urlencode(query) if query else "")


def from_environment() -> KubeClient:
    """The client of a pod, by the kubeconfig that $KUBECONFIG names. Raises ValueError or OSError."""
    return KubeClient(read_kubeconfig(Path(os.environ["KUBECONFIG"])))
