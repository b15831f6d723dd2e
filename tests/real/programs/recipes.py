# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules the programs come from, at versions that go together: all of them take Kubernetes 1.34."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .golang import Build, Recipe

KUBERNETES_VERSION = "1.34.4"
KNATIVE_VERSION = "1.21.1"
KSERVE_VERSION = "0.20.0"
TRAEFIK_VERSION = "3.7.13"
# Traefik's own; KServe's scripts install 1.5.1, of which this is a superset.
GATEWAY_API_VERSION = "1.6.1"
COREDNS_VERSION = "1.13.1"

_COMPONENT = "k8s.io/component-base/version"
_LEGO = ("github.com/go-acme/lego/v5", "v5.4.1")
# Traefik's own replacement of this one is not served as a module; this older state of it is compatible.
_HTTP_AUTH = "github.com/containous/go-http-auth v0.4.1-0.20200324110947-a37a7636d23e"
_EXT = """\
package ext

// Extension points of a commercial edition: empty in Traefik itself.
type HTTP struct{}

// Router extends a router.
type Router struct{}
"""
_DNS = """\
package dns

import (
    "fmt"

    "github.com/go-acme/lego/v5/challenge"
)

// NewDNSChallengeProviderByName knows none: they need dozens of clients of clouds, and no test asks one.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
    return nil, fmt.Errorf("this build has no DNS provider %s", name)
}
"""


def _kubernetes(text: str, _folder: Path, _build: Build) -> str:
    """Published modules in place of the `staging` folder, which the download of the module does not have."""
    staging = f"v0.{KUBERNETES_VERSION.partition('.')[2]}"
    return re.sub(r"=> \./staging/src/(\S+)", rf"=> \1 {staging}", text)


def _traefik(text: str, folder: Path, build: Build) -> str:
    """Without what cannot be had: DNS providers for certificates, and the hooks of a commercial edition."""
    lego = folder / "lego"
    shutil.copytree(build.source(*_LEGO), lego, ignore=lambda where, _names: _all_of_dns(where))
    for path in (lego, *lego.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (lego / "providers/dns").mkdir(exist_ok=True)
    (lego / "providers/dns/dns.go").write_text(_DNS, encoding="utf-8")
    ext = folder / "ext"
    ext.mkdir()
    (ext / "go.mod").write_text(
        "module github.com/traefik/traefik/dynamic/ext\n\ngo 1.22\n", encoding="utf-8"
    )
    (ext / "ext.go").write_text(_EXT, encoding="utf-8")
    text = text.replace("=> ./pkg/config/dynamic/ext", "=> ./ext")
    text = re.sub(r"(go-http-auth =>) \S+ \S+", rf"\1 {_HTTP_AUTH}", text)
    return f"{text}\nreplace {_LEGO[0]} => ./lego\n"


def _all_of_dns(where: str) -> set[str]:
    folder = Path(where)
    return {path.name for path in folder.iterdir()} if folder.match("providers/dns") else set()


KUBERNETES = Recipe(
    name="kubernetes",
    module="k8s.io/kubernetes",
    version=f"v{KUBERNETES_VERSION}",
    packages=tuple(
        f"cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    ),
    variables={
        f"{_COMPONENT}.gitVersion": f"v{KUBERNETES_VERSION}",
        f"{_COMPONENT}.gitMajor": KUBERNETES_VERSION.split(".", maxsplit=1)[0],
        f"{_COMPONENT}.gitMinor": KUBERNETES_VERSION.split(".")[1],
        f"{_COMPONENT}.gitTreeState": "archive",
    },
    adapt=_kubernetes,
)
KNATIVE = Recipe(
    name="knative-serving",
    module="knative.dev/serving",
    version="v0.48.1",
    packages=tuple(f"cmd/{name}" for name in ("controller", "webhook", "activator", "autoscaler", "queue")),
    kept=("config/core",),
    also=(
        ("knative.dev/networking", "v0.0.0-20260120131110-a7cdca238a0d", "config", "config/networking"),
        ("knative.dev/caching", "v0.0.0-20260120130310-f1fc03b7f5ee", "config", "config/caching"),
    ),
)
KSERVE = Recipe(
    name="kserve",
    module="github.com/kserve/kserve",
    version=f"v{KSERVE_VERSION}",
    packages=("cmd/manager",),
    kept=(
        f"install/v{KSERVE_VERSION}/kserve.yaml",
        f"install/v{KSERVE_VERSION}/kserve-cluster-resources.yaml",
    ),
)
COREDNS = Recipe(
    name="coredns", module="github.com/coredns/coredns", version=f"v{COREDNS_VERSION}", packages=("",)
)
TRAEFIK = Recipe(
    name="traefik",
    module="github.com/traefik/traefik/v3",
    version=f"v{TRAEFIK_VERSION}",
    packages=("cmd/traefik",),
    also=(("sigs.k8s.io/gateway-api", f"v{GATEWAY_API_VERSION}", "config/crd/standard", "gateway-api"),),
    adapt=_traefik,
)
ALL = (KUBERNETES, KNATIVE, KSERVE, COREDNS, TRAEFIK)
