# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of objects that the sandbox's programs speak of, and where the API server serves them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Kind:
    """One kind of object in one version. `group` is empty for the core group.

    name: what stands as `kind` in such an object, where one of the sandbox's programs makes them.
    """

    group: str
    version: str
    plural: str
    name: str = ""

    @property
    def api_version(self) -> str:
        """What stands as `apiVersion` in such an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """The path of all that the API server serves of this group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """The path of one object, or of a part of it (`status`).

        Without a name it is that of all objects of a namespace; without a namespace, of all there are.
        """
        where = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        which = "".join(f"/{quote(segment, safe='')}" for segment in (name, part) if segment)
        return f"{self.root}{where}/{self.plural}{which}"


CONFIG_MAPS = Kind("", "v1", "configmaps")
PODS = Kind("", "v1", "pods")
SERVICES = Kind("", "v1", "services", "Service")
DEPLOYMENTS = Kind("apps", "v1", "deployments", "Deployment")
JOBS = Kind("batch", "v1", "jobs")
INFERENCE_SERVICES = Kind("serving.kubeflow.org", "v1beta1", "inferenceservices")
EXPERIMENTS = Kind("iter8.tools", "v2alpha1", "experiments")
METRICS = Kind("iter8.tools", "v2alpha1", "metrics")

# What KServe and those below it make and read.
KSERVE_INFERENCE_SERVICES = Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
KNATIVE_SERVICES = Kind("serving.knative.dev", "v1", "services", "Service")
CONFIGURATIONS = Kind("serving.knative.dev", "v1", "configurations", "Configuration")
REVISIONS = Kind("serving.knative.dev", "v1", "revisions", "Revision")
ROUTES = Kind("serving.knative.dev", "v1", "routes", "Route")
KNATIVE_INGRESSES = Kind("networking.internal.knative.dev", "v1alpha1", "ingresses", "Ingress")
HTTP_ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
GATEWAYS = Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
