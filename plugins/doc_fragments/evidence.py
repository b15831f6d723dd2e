# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the evidence that a rollout leaves behind."""

from __future__ import annotations


class ModuleDocFragment:
    """C(iter8.kfserving.evidence): where each piece of it lies."""

    DOCUMENTATION = r"""
requirements:
  - python >= 3.10
options:
  load:
    description: Path of the result of M(iter8.kfserving.load_test).
    type: path
  timeline:
    description:
      - Path of the timeline, one JSON object a line, as M(iter8.kfserving.experiment_wait) and
        M(iter8.kfserving.inferenceservice_wait) write it.
      - The play adds the moments that only it knows, with C(source) V(playbook) and C(event)
        V(load_started), V(canary_applied) (its C(data.baseline) is the revision that served before),
        V(load_stopped), and V(stopped) where an error cut the run short.
    type: path
  experiment:
    description: Path of the Experiment as it was at the end, in JSON.
    type: path
  inferenceservice:
    description: Path of the InferenceService as it was at the end, in JSON.
    type: path
  observations:
    description:
      - Path of what M(iter8.kfserving.rollout_observer) saw, one JSON object a line. It tells what happened
        around the losses. The file may be missing.
    type: path
  driver:
    description:
      - Path of what M(iter8.kfserving.progressive_rollout) did, the RV(ignore:driver) that it returned, in
        JSON. The file may be missing, where another one drove.
    type: path
  access_log:
    description:
      - The gateway's access log, where it was fetched into a file, for instance with C(kubectl logs).
      - Each line that is a JSON object is read; others are skipped, and so is what stands before the object.
        Requests are found by the ids that the load gave them, in the header C(X-Request-Id), so the gateway
        must keep that header.
      - With it each failure is told with Envoy's response flags, and with the revision to which the gateway
        gave it. Where the answers themselves name no revision, the log tells who answered; like any such
        name that is relied on only if the log named the baseline before the canary was applied.
      - A log that is missing, torn, or has not every request, makes the verdict inconclusive.
    type: dict
    suboptions:
      path:
        description: The file.
        type: path
      fields:
        description: The names of the fields, where they are others than those of O(access_log.gateway).
        type: dict
        default: {}
        suboptions:
          request_id:
            description: The request's id.
            type: str
          time:
            description: When the request came, in ISO 8601 or seconds since the epoch.
            type: str
          duration:
            description: How many milliseconds it took.
            type: str
          status:
            description: The status of the response.
            type: str
          flags:
            description: Envoy's response flags.
            type: str
          upstream:
            description: The upstream cluster, whose name holds that of the revision, or the address of a pod.
            type: str
      gateway:
        description:
          - Whose log it is. V(istio) is Istio's in JSON, and V(istio_text) its text.
          - V(kourier) is Kourier's with a C(service-access-log-template) in C(config-kourier) that has the
            names of Istio's JSON.
          - V(envoy) is Envoy's default text, as Kourier's without a template, V(envoy_gateway) that of Envoy
            Gateway, V(traefik) Traefik's in JSON with the header C(X-Request-Id) kept. These name the address
            of a pod, so O(observations) is needed to know of which revision it is.
          - V(kept) is what M(iter8.kfserving.rollout_observer) kept of any of these, with O(observations).
        type: str
        choices: [kept, istio, kourier, istio_text, envoy, envoy_gateway, traefik]
        default: istio
      revision_pattern:
        description:
          - A regular expression whose first group is the revision in the upstream's name.
          - By default it is the last name in C(outbound|80||REVISION.NAMESPACE.svc.cluster.local) or
            C(NAMESPACE/REVISION).
        type: str
"""
