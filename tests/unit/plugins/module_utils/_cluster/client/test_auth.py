# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster may be touched, and what is said when it cannot be reached."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client import auth
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.api import Api
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.client.errors import (
    ClusterError,
    Forbidden,
    Refusal,
    Unauthorized,
    Unreachable,
)
from kubernetes.config import ConfigException
from kubernetes.dynamic.exceptions import ForbiddenError, ServiceUnavailableError, UnauthorizedError
from urllib3 import HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError, SSLError


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text("{}")
    return str(path)


REFUSED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {}),
    ({"kubeconfig": "K"}, {}),
    ({"context": "c"}, {}),
    ({"kubeconfig": "K", "context": ""}, {}),
    ({"kubeconfig": {"contexts": []}}, {}),
    ({"host": "https://x"}, {}),
    ({"host": "https://x", "username": "u"}, {}),
    ({"host": "https://x", "client_cert": "c"}, {}),
    ({"api_key": "k"}, {}),
    ({}, {"KUBECONFIG": "K"}),
    ({}, {"K8S_AUTH_KUBECONFIG": "K"}),
    # An empty option wins over the environment, as it does in kubernetes.core.
    ({"context": ""}, {"K8S_AUTH_KUBECONFIG": "K", "K8S_AUTH_CONTEXT": "c"}),
]

ALLOWED: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"kubeconfig": "K", "context": "c"}, {}),
    ({"kubeconfig": {"contexts": []}, "context": "c"}, {}),
    ({"kubeconfig": "K"}, {"K8S_AUTH_CONTEXT": "c"}),
    ({}, {"K8S_AUTH_KUBECONFIG": "K", "K8S_AUTH_CONTEXT": "c"}),
    ({"host": "https://x", "api_key": "k"}, {}),
    ({"host": "https://x", "username": "u", "password": "p"}, {}),
    ({"host": "https://x", "client_cert": "c", "client_key": "k"}, {}),
    # kubernetes.core reads these under the Kubernetes client's names too.
    ({}, {"K8S_AUTH_HOST": "https://x", "K8S_AUTH_CERT_FILE": "c", "K8S_AUTH_KEY_FILE": "k"}),
    ({}, {"K8S_AUTH_HOST": "https://x", "K8S_AUTH_API_KEY": "k"}),
]


def named(values: dict[str, Any], kubeconfig: str) -> dict[str, Any]:
    return {key: kubeconfig if value == "K" else value for key, value in values.items()}


@pytest.mark.parametrize(("params", "environ"), REFUSED)
def test_a_cluster_that_is_not_named_is_refused(
    params: dict[str, Any], environ: dict[str, str], kubeconfig: str
) -> None:
    with pytest.raises(Refusal, match="the current kube context is never used"):
        auth.require_named_cluster(named(params, kubeconfig), named(environ, kubeconfig))


@pytest.mark.parametrize(("params", "environ"), ALLOWED)
def test_a_named_cluster_is_allowed(params: dict[str, Any], environ: dict[str, str], kubeconfig: str) -> None:
    auth.require_named_cluster(named(params, kubeconfig), named(environ, kubeconfig))


@pytest.mark.parametrize(("given", "missing"), [("kubeconfig", "context"), ("context", "kubeconfig")])
def test_the_refusal_names_what_is_missing(given: str, missing: str, kubeconfig: str) -> None:
    with pytest.raises(Refusal, match=f"^{missing} is not named"):
        auth.require_named_cluster({given: kubeconfig}, {})


def test_a_kubeconfig_that_is_not_there_is_reported_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="not a file"):
        auth.require_named_cluster({"kubeconfig": str(tmp_path / "none"), "context": "c"}, {})


def test_one_of_several_kubeconfigs_is_enough(kubeconfig: str, tmp_path: Path) -> None:
    auth.require_named_cluster({"kubeconfig": f"{tmp_path}/none:{kubeconfig}", "context": "c"}, {})


class Module:
    params: dict[str, Any] = {"host": "https://127.0.0.1:1", "api_key": "k"}


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(auth, "get_api_client", lambda _module: never.wait(30))
    with pytest.raises(Unreachable, match="No answer from the API server within 0 s"):
        auth.connect(Module(), seconds=0.05)
    never.set()


def http_error(status: int, reason: str, headers: dict[str, str] | None = None) -> Any:
    """The shape from which the Kubernetes client's own errors are made."""
    headers = headers or {}
    return SimpleNamespace(
        status=status, reason=reason, body=reason, headers=headers, data=b"", getheaders=lambda: headers
    )


POOL = HTTPSConnectionPool("api.example.com", 6443)


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (UnauthorizedError(http_error(401, "Unauthorized")), Unauthorized, "answered 401"),
        (ForbiddenError(http_error(403, "Forbidden")), Forbidden, "answered 403"),
        (
            MaxRetryError(POOL, "/", OSError("refused")),
            Unreachable,
            "https://api.example.com:6443 does not answer",
        ),
        (
            MaxRetryError(POOL, "/", SSLError("certificate verify failed: self-signed certificate")),
            ClusterError,
            "could not be verified: certificate verify failed: self-signed",
        ),
        (
            MaxRetryError(POOL, "/", SSLError("EOF occurred in violation of protocol")),
            Unreachable,
            "TLS handshake with https://api.example.com:6443 did not come to an end: EOF",
        ),
        (ConfigException("no such context"), ClusterError, "cannot be used: no such context"),
        (FileNotFoundError("ca.crt"), ClusterError, "cannot be used: ca.crt"),
    ],
)
def test_what_the_client_raises_becomes_one_clear_error(
    error: Exception, raised: type[ClusterError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_module: Any) -> None:
        raise error

    monkeypatch.setattr(auth, "get_api_client", fail)
    with pytest.raises(raised, match=message):
        auth.connect(Module())


@pytest.mark.parametrize(
    "busy",
    [
        ServiceUnavailableError(http_error(503, "Unavailable", {"Retry-After": "0"})),
        MaxRetryError(POOL, "/version", ResponseError("too many 429 error responses")),
    ],
)
def test_a_server_that_is_busy_at_first_is_asked_again(
    busy: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [busy, ConfigException("asked again")]

    def fail(_module: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(auth, "get_api_client", fail)
    with pytest.raises(ClusterError, match="asked again"):
        auth.connect(Module())
    errors = [busy, ConfigException("asked again")]
    with pytest.raises(Unreachable):
        auth.connect(Module(), deadline=0.0)


def test_a_kubeconfig_that_is_still_encrypted_says_how_it_is_decrypted(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    with pytest.raises(ClusterError, match="encrypted with ansible-vault.*the option kubeconfig"):
        auth.require_named_cluster({"kubeconfig": str(path), "context": "c"}, {})


def test_the_token_is_looked_up_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.client import ApiClient, Configuration

    configuration = Configuration(host="https://127.0.0.1:6443/", api_key={"authorization": "Bearer one"})
    core = SimpleNamespace(
        configuration=configuration, client=SimpleNamespace(client=ApiClient(configuration))
    )
    monkeypatch.setattr(auth, "get_api_client", lambda _module: core)
    sent: list[dict[str, str]] = []

    def request(_pool: Any, _method: str, _url: str, **options: Any) -> Any:
        sent.append(options["headers"])
        raise OSError("no network")

    monkeypatch.setattr("urllib3.PoolManager.request", request)
    api = auth.connect(Module())
    assert api.host == "https://127.0.0.1:6443"
    for token in ("Bearer one", "Bearer two"):
        configuration.api_key["authorization"] = token
        with pytest.raises(Unreachable, match="no network"):
            api.get("/api")
    assert [headers["authorization"] for headers in sent] == ["Bearer one", "Bearer two"]


_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443"}}]
users: [{name: u, user: USER}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""


@pytest.mark.parametrize("file", [False, True])
def test_fresh_credentials_in_the_kubeconfig_are_taken_up_after_a_401(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: bool
) -> None:
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import load_kube_config

    path, token = tmp_path / "config", tmp_path / "token"

    def give(secret: str) -> None:
        token.write_text(secret)
        path.write_text(
            _KUBECONFIG.replace("USER", f"{{tokenFile: {token}}}" if file else f"{{token: {secret}}}")
        )

    def request(_client: Any, _method: str, _path: str, **_options: Any) -> Any:
        sent.append(_client.client.configuration.get_api_key_with_prefix("BearerToken"))
        if sent[-1] == "Bearer good":
            return SimpleNamespace(headers={}, data=b'{"kind": "Pod"}', release_conn=lambda: None)
        raise ApiException(status=401, reason="Unauthorized")

    give("old")
    configuration = Configuration()
    load_kube_config(str(path), "c", client_configuration=configuration)
    configuration.ssl_ca_cert = "/as/the/options/have/it"
    core = SimpleNamespace(
        configuration=configuration, client=SimpleNamespace(client=ApiClient(Configuration()))
    )
    monkeypatch.setattr(auth, "get_api_client", lambda _module: core)
    # No certificates are loaded.
    monkeypatch.setattr("kubernetes.client.rest.RESTClientObject", lambda *_unused, **_options: None)
    monkeypatch.setattr("kubernetes.dynamic.DynamicClient.request", request)
    sent: list[str] = []
    module = SimpleNamespace(params={"kubeconfig": str(path), "context": "c"})
    api = auth.connect(module).with_time_limit(5.0)
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for secret in ("old", "good"):
        give(secret)
        now[0] += 10.0
        with pytest.raises(Unauthorized, match="401"):
            api.get("/api/v1/pods/p")
    assert api.get("/api/v1/pods/p") == {"kind": "Pod"}
    assert sent == ["Bearer old", "Bearer old", "Bearer good"]


def test_a_kubeconfig_that_cannot_be_read_again_changes_nothing() -> None:
    def again() -> Any:
        raise ClusterError("it is being written")

    from kubernetes.client.exceptions import ApiException

    def request(*_unused: Any, **_options: Any) -> Any:
        raise ApiException(status=401, reason="Unauthorized")

    client = SimpleNamespace(configuration=SimpleNamespace(host="https://x"), request=request)
    api = Api(client, deadline=0.0, again=again)
    for _unused in range(2):
        with pytest.raises(Unauthorized):
            api.get("/api/v1/pods/p")
