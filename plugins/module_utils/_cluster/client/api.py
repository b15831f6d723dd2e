# SPDX-License-Identifier: GPL-3.0-or-later
"""A thin layer over the Kubernetes client: every request has a time limit and a classified error.

The client's own calls wait for ever on a silent server, and its dynamic discovery is cached in a file
that outlives CRDs. Here each request has a limit, and kinds are looked up when they are needed. URLs, TLS,
proxies and credentials stay the client's: see ``auth.connect``.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from .errors import ClusterError, NotFound, UnknownKind, Unreachable, from_status, untrusted

with contextlib.suppress(ImportError):  # The modules report the kubernetes library, which brings urllib3.
    from urllib3.exceptions import HTTPError

Json = dict[str, Any]

JSON = "application/json"
# JSON is YAML, too.
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
# Servers that cannot cut a list down to its metadata answer with the whole.
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
# Between two times that the credentials are read anew: a kubeconfig may name a program that gives them.
AGAIN_SECONDS = 5.0
# How long a server that asks for patience (Retry-After) gets it, where a module has no time-out of its own.
PATIENCE_SECONDS = 60.0

T = TypeVar("T")


def patiently(
    call: Callable[[], T],
    deadline: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """``call()``'s value; where the server says when to ask again it is called again then.

    Raises Unreachable where the server does not say so, or that would be after ``deadline`` (of ``now``).
    """
    while True:
        try:
            return call()
        except Unreachable as error:
            if error.retry_after is None or now() + error.retry_after >= deadline:
                raise
            sleep(error.retry_after)


class Transport(Protocol):
    """What is used of ``kubernetes.dynamic.DynamicClient``."""

    configuration: Any

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """An answer of 2xx, its body not yet read; ApiException for any other."""


@dataclass(frozen=True)
class Resource:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...] = ()

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The path of an object, or of all objects (of a namespace) when no name is given."""
        path = group_path(self.api_version)
        if self.namespaced and namespace:
            path += f"/namespaces/{quote(namespace, safe='')}"
        path += f"/{self.plural}"
        return f"{path}/{quote(name, safe='')}" if name else path


def group_path(api_version: str) -> str:
    """``/api/v1`` for the core group, ``/apis/<group>/<version>`` for the others."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


class Api:
    """Requests to one API server."""

    def __init__(
        self,
        client: Transport,
        *,
        deadline: float,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        again: Callable[[], Transport] | None = None,
    ) -> None:
        """Until ``deadline`` (of time.monotonic) a request is repeated when the server says so (Retry-After).

        ``read_seconds`` is the longest silence within an answer. ``again`` makes a client of credentials that
        are read anew: after a 401 the next request goes with those. It raises ClusterError where there are
        none.
        """
        self.deadline = deadline
        # The Date header of the latest answer: what the API server's own clock says.
        self.date = ""
        self.host = str(client.configuration.host).rstrip("/")
        self._client = client
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._groups: dict[str, list[Resource]] = {}
        self._again = again
        self._read_at = -AGAIN_SECONDS

    def with_time_limit(self, read_seconds: float) -> Api:
        """The same API server, asked for answers within another time, and asked once."""
        return Api(
            self._client,
            deadline=0.0,
            connect_seconds=self._connect_seconds,
            read_seconds=read_seconds,
            again=self._again,
        )

    def get(self, path: str, query: Mapping[str, str] | None = None, *, metadata_only: bool = False) -> Json:
        """The object or list at ``path``; of a list's items only the metadata, if that is enough."""
        return self._whole("GET", path, query, accept=PARTIAL if metadata_only else JSON)

    def delete(self, path: str, options: Json) -> Json:
        """Deletes the object at ``path`` with DeleteOptions; raises NotFound or Conflict as the server
        says.
        """
        return self._whole("DELETE", path, None, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    def apply(self, path: str, definition: Json, field_manager: str, *, dry_run: bool = False) -> Json:
        """The object at ``path`` after a server-side apply, or as it would be; raises Conflict where a field
        is another manager's.
        """
        query = {"fieldManager": field_manager, **({"dryRun": "All"} if dry_run else {})}
        return self._whole("PATCH", path, query, definition, content_type=APPLY)

    def create(self, path: str, definition: Json) -> Json:
        """The new object among those at ``path``; raises Conflict where one of its name is there."""
        return self._whole("POST", path, None, definition)

    def replace(self, path: str, definition: Json) -> Json:
        """The object at ``path``, replaced; raises Conflict where it has another resourceVersion by now."""
        return self._whole("PUT", path, None, definition)

    def merge(self, path: str, patch: Json, *, dry_run: bool = False) -> Json:
        """The object at ``path`` after a JSON merge patch, or as it would be; raises Conflict where the patch
        names another resourceVersion than the object has."""
        query = {"dryRun": "All"} if dry_run else None
        return self._whole("PATCH", path, query, patch, content_type=MERGE)

    def stream(
        self, path: str, query: Mapping[str, str], silence_seconds: float
    ) -> Generator[Json, None, None]:
        """The JSON lines of a watch as they come; Unreachable when nothing came for ``silence_seconds``.

        Returns once the server has accepted the watch. Close the generator to end it.
        """
        return self._objects(self.lines(path, query, silence_seconds, accept=JSON), f"GET {self.host}{path}")

    @staticmethod
    def _objects(lines: Generator[bytes, None, None], where: str) -> Generator[Json, None, None]:
        with contextlib.closing(lines):
            for line in lines:
                yield _object(line, where)

    def lines(
        self, path: str, query: Mapping[str, str], silence_seconds: float, *, accept: str = "*/*"
    ) -> Generator[bytes, None, None]:
        """The lines of an answer as they come, without the empty ones; Unreachable when nothing came for
        ``silence_seconds``, or the answer was cut.

        Returns once the server has begun to answer. Close the generator to end it.
        """
        answer = patiently(
            lambda: self._send("GET", path, query, None, accept=accept, read_seconds=silence_seconds),
            self.deadline,
        )
        return self._lines(answer, f"GET {self.host}{path}")

    @staticmethod
    def _lines(answer: Any, where: str) -> Generator[bytes, None, None]:
        rest = b""
        try:
            for chunk in _as_it_comes(answer):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line for line in lines if line.strip())
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{where}: the answer was cut: {reason_of(error)}.") from error
        finally:
            answer.close()

    def resource(self, api_version: str, kind: str) -> Resource:
        """How ``kind`` is served; UnknownKind when it is not."""
        for resource in self.resources(api_version):
            if resource.kind == kind:
                return resource
        raise UnknownKind(
            f"{self.host} does not serve {kind} ({api_version}). Install its CustomResourceDefinition first."
        )

    def resources(self, api_version: str) -> list[Resource]:
        """The kinds of a group and version; none when the server does not serve it."""
        try:
            return self.kinds_at(api_version)
        except NotFound:
            return []

    def kinds_at(self, api_version: str) -> list[Resource]:
        """The kinds of a group and version; NotFound when the server does not serve it.

        Answers are kept until ``forget_kinds``, but an absent group is looked up again each time: a CRD may
        be established at any moment.
        """
        if api_version not in self._groups:
            found = self.get(group_path(api_version)).get("resources") or []
            self._groups[api_version] = [
                Resource(
                    api_version, each["kind"], each["name"], bool(each["namespaced"]), tuple(each["verbs"])
                )
                for each in found
                if "/" not in each["name"]
            ]
        return self._groups[api_version]

    def served_versions(self) -> list[str]:
        """Every served apiVersion, of each group the preferred one first."""
        groups: Sequence[Json] = self.get("/apis").get("groups") or []
        versions = ["v1"]
        for group in groups:
            versions.append(group["preferredVersion"]["groupVersion"])
            versions += [each["groupVersion"] for each in group.get("versions") or []]
        return list(dict.fromkeys(versions))

    def forget_kinds(self) -> None:
        """Looks kinds up anew from now on."""
        self._groups = {}

    def _whole(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None = None,
        *,
        accept: str = JSON,
        content_type: str = JSON,
    ) -> Json:
        types = {"accept": accept, "content_type": content_type}
        answer = patiently(
            lambda: self._send(method, path, query, body, **types, read_seconds=self._read_seconds),
            self.deadline,
        )
        where = f"{method} {self.host}{path}"
        try:
            return _object(answer.data, where)
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{where} failed: {reason_of(error)}.") from error
        finally:
            answer.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Json | None,
        *,
        accept: str,
        read_seconds: float,
        content_type: str = JSON,
    ) -> Any:
        # See auth.get_api_client.
        from kubernetes.client.exceptions import ApiException

        where = f"{method} {self.host}{path}"
        try:
            answer = self._client.request(
                method,
                path,
                body=body,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept},
                content_type=content_type,
                serialize=False,
                _request_timeout=(self._connect_seconds, read_seconds),
            )
            self.date = str(answer.headers.get("Date") or "")
            return answer
        except ApiException as error:
            if not error.status:
                # The client's way of saying that TLS failed: "SSLError", and the reason on lines of its own.
                raise untrusted(self.host, str(error.reason).partition("\n")[2].rstrip(".")) from error
            if error.status == 401:
                self._read_again()
            raise from_status(error.status, _status_of(error.body), where, error.headers) from error
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{where} failed: {reason_of(error)}.") from error

    def _read_again(self) -> None:
        if self._again is None or time.monotonic() - self._read_at < AGAIN_SECONDS:
            return
        self._read_at = time.monotonic()
        # Whoever writes a kubeconfig may not be done yet.
        with contextlib.suppress(ClusterError):
            self._client = self._again()


def find(api: Api, path: str) -> Json | None:
    """The object at ``path``; None where it is certain that it is not there.

    Raises Unreachable where no object is named: it may be the server that is not itself yet.
    """
    try:
        return api.get(path)
    except NotFound as error:
        if not error.certain:
            raise Unreachable(str(error)) from None
        return None


def _as_it_comes(answer: Any) -> Iterator[bytes]:
    """The pieces of a body without waiting for more than has come.

    urllib3's stream() does so with chunks; without them, as behind a proxy that speaks HTTP/1.0, it waits
    until it has as much as it was asked for.
    """
    if answer.chunked:
        yield from answer.stream(65536)
        return
    # urllib3 1.26 has no read1.
    read = getattr(answer, "read1", None) or (lambda _most: answer.read(1))
    while piece := read(65536):
        yield piece


def _object(data: bytes, where: str) -> Json:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Unreachable(f"{where} was not answered with JSON: is this a Kubernetes API server?") from error
    # Nothing that the API server tells is empty.
    if not isinstance(value, dict) or not value:
        raise Unreachable(f"{where} was not answered with a JSON object: is this a Kubernetes API server?")
    return value


def _status_of(body: bytes | str | None) -> Json | str:
    """The Status with which the server explains an error, or the beginning of whatever came instead."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    try:
        value = json.loads(text)
    except ValueError:
        return text[:200].strip()
    return value if isinstance(value, dict) else str(value)[:200]


def reason_of(error: BaseException) -> str:
    """The cause, for people; urllib3 wraps the one that explains it, and names its own objects before."""
    cause: Any = getattr(error, "reason", None) or error
    text = str(cause.args[-1]) if isinstance(cause, HTTPError) and cause.args else str(cause)
    return (re.sub(r"^\w+\(.*?\): ", "", text) or type(error).__name__).rstrip(".")
