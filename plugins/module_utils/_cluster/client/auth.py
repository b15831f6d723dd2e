# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaching the cluster that the user named, and no other.

Options and environment variables are kubernetes.core's (``k8s_auth_options``). One thing is stricter:
nothing here ever uses the current context of a kubeconfig or the default kubeconfig, since that is how
the wrong cluster is hit.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_MAP, AUTH_ARG_SPEC

from .api import AGAIN_SECONDS, PATIENCE_SECONDS, Api, Transport, patiently, reason_of
from .errors import ClusterError, Refusal, Unreachable, from_status, untrusted

with contextlib.suppress(ImportError):  # The modules report the kubernetes library, which brings urllib3.
    from urllib3.exceptions import HTTPError, LocationValueError, ResponseError, SSLError

# For the argument_spec of every module that talks to a cluster.
AUTH_ARGUMENTS: dict[str, Any] = dict(AUTH_ARG_SPEC)

FIRST_ANSWER_SECONDS = 20.0

_VAULT = b"$ANSIBLE_VAULT;"

_CREDENTIALS = (("api_key",), ("username", "password"), ("client_cert", "client_key"))
_FROM_KUBECONFIG = ("api_key", "refresh_api_key_hook", "cert_file", "key_file")
_CLIENT_NAMES = {option: client for client, option in AUTH_ARG_MAP.items()}

T = TypeVar("T")


def setting(option: str, params: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """An auth option as kubernetes.core resolves it: the module's, else K8S_AUTH_* under either of its
    names.
    """
    if params.get(option) is not None:
        return params[option]
    client = _CLIENT_NAMES.get(option, option)
    return environ.get(f"K8S_AUTH_{option.upper()}") or environ.get(f"K8S_AUTH_{client.upper()}")


def require_named_cluster(params: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> None:
    """Raises Refusal unless the cluster is named: kubeconfig and context, or host and credentials."""

    def given(*options: str) -> bool:
        return all(setting(option, params, environ) for option in options)

    if given("host") and any(given(*credentials) for credentials in _CREDENTIALS):
        return
    if given("kubeconfig", "context"):
        _require_file(setting("kubeconfig", params, environ))
        return
    missing = "context" if given("kubeconfig") else "kubeconfig" if given("context") else None
    raise Refusal(
        (f"{missing} is not named: " if missing else "No cluster is named: ")
        + "the current kube context is never used. Name both kubeconfig and context "
        "(or K8S_AUTH_KUBECONFIG and K8S_AUTH_CONTEXT), or host with credentials (api_key, username and "
        "password, or client_cert and client_key)."
    )


def _require_file(kubeconfig: Any) -> None:
    if not isinstance(kubeconfig, str):
        return
    paths = [os.path.expanduser(path) for path in kubeconfig.split(os.pathsep) if path]
    files = [path for path in paths if os.path.isfile(path)]
    if not files:
        raise ClusterError("What is named as kubeconfig is not a file on this host. Name one that is.")
    for path in files:
        with open(path, "rb") as file:
            encrypted = file.read(len(_VAULT)) == _VAULT
        if encrypted:
            raise ClusterError(
                f"The kubeconfig {path} is encrypted with ansible-vault. It is decrypted where it is named "
                "by the option kubeconfig (not by K8S_AUTH_KUBECONFIG) and the task runs on the controller."
            )


def connect(module: Any, seconds: float = FIRST_ANSWER_SECONDS, deadline: float | None = None) -> Api:
    """The API of the named cluster, once it has answered; ClusterError with the reason otherwise.

    ``module`` is kubernetes.core's AnsibleK8SModule. The first answer must come within ``seconds``: the
    client's own first requests know no time limit. A server that says when to ask again is asked again, then
    and by the Api later on, until ``deadline`` (of time.monotonic; a minute from now by default).
    """
    require_named_cluster(module.params)
    deadline = time.monotonic() + PATIENCE_SECONDS if deadline is None else deadline
    core = patiently(lambda: _within(seconds, lambda: get_api_client(module), "the API server"), deadline)
    # Whom to impersonate is said in the headers of kubernetes.core's client.
    headers = core.client.client.default_headers
    again = _again(module.params, core.configuration, headers)
    return open_api(core.configuration, headers, deadline, again)


def get_api_client(module: Any) -> Any:
    """kubernetes.core's client for the module's options.

    Imported where it is needed: its 700 models cost half a second that some tasks need not pay.
    """
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client

    return client.get_api_client(module)


def _again(
    params: Mapping[str, Any], configuration: Any, headers: Mapping[str, str]
) -> Callable[[], Transport] | None:
    """How the credentials of a kubeconfig on this host are read anew, as once a token has expired; None where
    they come from elsewhere. The Kubernetes client reads a token, and the file that holds one, only once."""
    path = setting("kubeconfig", params, os.environ)
    elsewhere = any(setting(option, params, os.environ) for each in _CREDENTIALS for option in each)
    if elsewhere or not isinstance(path, str):
        return None
    context = setting("context", params, os.environ)

    def read() -> Any:
        from kubernetes.client import Configuration
        from kubernetes.config import load_kube_config

        found = Configuration()
        load_kube_config(  # type: ignore[no-untyped-call]
            path, context, client_configuration=found, persist_config=False
        )
        # All else stays as the options have it: the address, the proxy, whom to trust.
        fresh = copy.deepcopy(configuration)
        for name in _FROM_KUBECONFIG:
            setattr(fresh, name, getattr(found, name))
        return fresh

    return lambda: _transport(_within(AGAIN_SECONDS, read, "who gives the kubeconfig's credentials"), headers)


def open_api(
    configuration: Any,
    headers: Mapping[str, str],
    deadline: float,
    again: Callable[[], Transport] | None = None,
) -> Api:
    """The API at a ``kubernetes.client.Configuration``; nothing is asked of the server yet.

    ``headers`` go with every request. ``again`` makes a client of credentials that are read anew.
    """
    return Api(_transport(configuration, headers), deadline=deadline, again=again)


def _transport(configuration: Any, headers: Mapping[str, str]) -> Transport:
    """No request is repeated unasked, nor is a redirect followed with our credentials: both would be the
    Kubernetes client's default."""
    from kubernetes.client import ApiClient
    from kubernetes.dynamic import DynamicClient

    configuration.retries = False
    client = ApiClient(configuration)
    for name, value in headers.items():
        client.set_default_header(name, value)  # type: ignore[no-untyped-call]
    # Kinds are looked up by Api: see there.
    dynamic: Transport = DynamicClient(client, discoverer=lambda *_unused: None)  # type: ignore[no-untyped-call]
    return dynamic


def _within(seconds: float, call: Callable[[], T], whom: str) -> T:
    """``call()``'s value, or its error classified, or Unreachable after ``seconds``."""
    values: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(call())
        except BaseException as error:  # noqa: BLE001  Handed to the caller's thread, whatever it is.
            errors.append(error)

    # A daemon, so that a call that never returns does not keep the process.
    thread = threading.Thread(target=run, name="first-answer", daemon=True)
    thread.start()
    thread.join(seconds)
    if values:
        return values[0]
    if errors:
        raise classify(errors[0]) from errors[0]
    raise Unreachable(f"No answer from {whom} within {seconds:.0f} s. Check the address and the network.")


def classify(error: BaseException) -> BaseException:
    """A ClusterError for what the Kubernetes client raises while it loads its configuration and connects."""
    if isinstance(error, (ClusterError, SystemExit, KeyboardInterrupt)):
        return error
    from kubernetes.client.exceptions import ApiException

    if isinstance(error, ApiException) and error.status:
        where = "The first request to the API server"
        return from_status(error.status, str(error.reason or ""), where, error.headers)
    if isinstance(error, HTTPError) and not isinstance(error, LocationValueError):
        pool = getattr(error, "pool", None)
        host = f"https://{pool.host}:{pool.port}" if pool is not None else "the API server"
        if isinstance(getattr(error, "reason", None) or error, SSLError):
            return untrusted(host, reason_of(error))
        unreachable = Unreachable(
            f"{host} does not answer: {reason_of(error)}. Check the address, and that the cluster is up."
        )
        if isinstance(getattr(error, "reason", None), ResponseError):
            # urllib3 has waited as the server asked for (Retry-After), and given up after some times.
            unreachable.retry_after = 1.0
        return unreachable
    return ClusterError(f"The kubeconfig, context or credentials cannot be used: {error}")
