#!/usr/bin/python
# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: load_test
short_description: Send HTTP or gRPC requests at a steady rate and account for every one of them
version_added: "1.0.0"
author: The iter8.kfserving contributors (@iter8-tools)
description:
  - Runs a load generator on the host that the module runs on, as a process of its own that goes on when the
    task has ended.
  - By default requests are sent on an absolute schedule, evenly spaced, whatever became of those before
    them. They may also arrive at random, along a profile of rates or at the times of a trace, all of it on an
    absolute schedule too. Nothing that a server may have acted on is sent twice, and only a whole,
    well-formed response with an expected status counts as a success.
  - The result has all keys of Fortio's JSON with the same names, units and buckets, and beside them
    C(LoadTest), which holds a record of each failed request, windows of failure, counts for each revision,
    and the generator's own faults.
  - All arguments are checked before anything is started. That includes one connection to the server that is
    closed again at once; it carries no request.
extends_documentation_fragment:
  - iter8.kfserving.attributes
  - iter8.kfserving.load
attributes:
  check_mode:
    support: full
    details:
      - The arguments are checked all the same.
  diff_mode:
    support: full
    details:
      - Shows the load's state before and after.
  idempotent:
    support: full
    details:
      - A load that is running is not started again if its arguments are the same, and refused if they differ.
options:
  name:
    description: The load's name. It names the folder that the load's state is kept in.
    type: str
    required: true
  state:
    description:
      - V(started) leaves the load running in the background. What an earlier, ended load of this name left
        is replaced.
      - V(finished) waits until the load has ended by itself, and starts it before if there is none with
        these arguments. To run one again that has finished, remove it with V(absent) first.
      - V(stopped) ends it with its full report. Requests in flight are waited for, up to O(timeout), streams
        up to O(stream_timeout). An ended load stays as it is, and so does one that does not exist.
      - V(absent) ends it and removes all that it left, except O(dest).
    type: str
    choices: [started, finished, stopped, absent]
    default: started
  copy_files:
    description:
      - Whether O(payload_file), O(payload_files), those of O(payloads), O(payload_lines) and O(send_times)
        are files of the controller rather than of the target host. They are there only while the task runs,
        for the load keeps what it sends in memory. Certificates are files of the target host all the same.
    type: bool
    default: false
  stop_at:
    description:
      - Stop at this time, written as V(2026-01-31T12:00:00+00:00) or in seconds since the epoch. It must not
        have passed when the load starts.
    type: str
  start_at:
    description:
      - When the first request is due, written as O(stop_at) is; without it as soon as the load is ready. It
        must not have passed when the load starts.
    type: str
  parts:
    description:
      - How many generators send this load together, each on its own host, with the same arguments but for
        O(part) and O(clock_ahead). Of all requests, numbered from 0, each sends those that leave the
        remainder O(part) when their number is divided by this, at the times of the whole load. O(rate),
        O(duration) and O(calls) are the whole load's, and its connections and O(warmup) are divided likewise.
        O(abort_failures) and O(ledger_limit) are each generator's.
      - With O(start_at) all begin at one time. M(iter8.kfserving.load_merge) puts their results together.
    type: int
    default: 1
  part:
    description: Which of O(parts) this is, from 0.
    type: int
    default: 0
  clock_ahead:
    description:
      - By how many seconds the clock of this host is ahead of the one that times are given and told by, such
        as M(iter8.kfserving.clock_offset) finds out; less than 0 where it is behind.
    type: float
    default: 0
  http2_library:
    description:
      - A zip file on the target host with the Python packages C(h2), C(hpack) and C(hyperframe), for gRPC
        from a host that lacks them. Where it is not given, the packages of the control node are brought.
    type: path
  unix_socket:
    description: Connect to this Unix socket rather than to the host of O(url).
    type: path
  ca_file:
    description: File with the certificates (PEM) to trust rather than the system's.
    type: path
  client_cert:
    description: File with the client's certificate (PEM).
    type: path
  client_key:
    description: File with the key of O(client_cert) (PEM, without a passphrase), where that does not hold it.
    type: path
  dest:
    description:
      - File on the target host to write the result to when the load ends. A file that is there is replaced.
    type: path
  state_dir:
    description:
      - Folder for the state of loads. Without it this is C($XDG_STATE_HOME/iter8-kfserving/loads), that is
        usually C(~/.local/state/iter8-kfserving/loads).
      - It has to be the user's own. One that somebody else can write to is refused.
    type: path
notes:
  - Needs Python 3.9 or later on the target host, and nothing beside its standard library. gRPC needs the
    Python package C(h2) there, or on the control node, from which it is brought.
  - A connection that the server announced to keep for some seconds (C(timeout) of its header C(Keep-Alive))
    is closed before that.
  - What a server may have acted on is never sent twice. A gRPC call that the server says it has not processed
    (a GOAWAY that names an earlier stream as its last, or RST_STREAM with REFUSED_STREAM) is sent again, as
    RFC 9113 allows, three times at most; C(resent) in the result counts that, and one more is a loss.
  - Where a name has several addresses and one takes no connection, the next one is tried, as long as no byte
    of the request was sent; C(address_failovers) in the result counts how often.
  - The load's process ends by itself after O(duration). On a SIGTERM or SIGINT it ends with its full
    report.
  - Of a process that is killed with SIGKILL all but the last second is kept, and the result's state is
    V(interrupted).
seealso:
  - module: iter8.kfserving.load_test_info
  - module: iter8.kfserving.load_merge
  - module: iter8.kfserving.clock_offset
"""

EXAMPLES = r"""
- name: Send two requests a second while a canary is rolled out
  iter8.kfserving.load_test:
    name: quickstart
    url: http://127.0.0.1:8080/v1/models/my-model:predict
    headers:
      Host: my-model.default.example.com
    payload_file: input.json
    rate: 2
    duration: 10m
    revision_header: X-Revision

- name: End the load and keep its report
  iter8.kfserving.load_test:
    name: quickstart
    state: stopped
  register: load

- name: Rise to a hundred requests a second, stay there, and mix what real clients send
  iter8.kfserving.load_test:
    name: peak
    state: finished
    url: http://127.0.0.1:8080/v1/models/my-model:predict
    arrival: poisson
    seed: 7
    profile:
      - {from: 0, to: 100, duration: 2m}
      - {rate: 100, duration: 10m}
    payloads:
      - {payload_file: small.json, weight: 9}
      - {payload_file: large.json, weight: 1}
    request_id_header: X-Correlation-Id

- name: Stream answers of a language model
  iter8.kfserving.load_test:
    name: chat
    state: finished
    url: http://127.0.0.1:8080/openai/v1/chat/completions
    stream: sse
    timeout: 20s
    rate: 2
    duration: 5m
    payload:
      model: my-model
      messages:
        - role: user
          content: Why is the sky blue?
      max_tokens: 200
      stream: true
    revision_field: system_fingerprint

- name: Send requests when the clients of a public trace did
  iter8.kfserving.load_test:
    name: trace
    state: finished
    url: http://127.0.0.1:8080/v1/models/my-model:predict
    payload_lines: prompts.jsonl
    send_times: AzureLLMInferenceTrace_conv.csv

- name: Every request was answered
  ansible.builtin.assert:
    that: load.result.LoadTest.failed == 0

- name: Measure as fast as four connections allow, and wait for the end
  iter8.kfserving.load_test:
    name: speed
    state: finished
    url: http://127.0.0.1:8080/
    rate: 0
    duration: 10s
    dest: /tmp/speed.json

- name: Call a model over gRPC, on kept and on new connections
  iter8.kfserving.load_test:
    name: grpc
    state: finished
    url: grpc://127.0.0.1:8001/v2/models/my-model
    payload:
      inputs:
        - {name: x, datatype: FP32, shape: [1, 2], data: [1.5, 2]}
    rate: 50
    duration: 1m
    connection_modes: both
    revision_field: model_version

- name: Remove what the load left
  iter8.kfserving.load_test:
    name: quickstart
    state: absent
"""

RETURN = r"""
status:
  description:
    - What the load is doing now.
    - V(absent) means that there is no load of this name, V(running) that it is sending requests, V(finished)
      that it ended by itself, V(stopped) that it was stopped before its end, V(aborted) that it ended itself
      because of too many failures, and V(interrupted) that its process was killed. The result then lacks at
      most its last second.
  returned: success
  type: str
  choices: [absent, running, finished, stopped, aborted, interrupted]
  sample: running
progress:
  description: How far the load is, at most about a second old.
  returned: success
  type: dict
  contains:
    state:
      description: As RV(status).
      type: str
    requests:
      description: How many requests have ended.
      type: int
    failed:
      description: How many of them failed.
      type: int
    revisions:
      description: For each revision that answered (empty where none was named) its C(requests) and C(failed).
      type: dict
    started:
      description: When the load began, in seconds since the epoch.
      type: float
    heartbeat:
      description: When the load last reported, in seconds since the epoch.
      type: float
  sample:
    state: running
    requests: 240
    failed: 0
    revisions:
      my-model-predictor-default-00001:
        requests: 240
        failed: 0
    started: 1767268800.0
    heartbeat: 1767268920.0
result:
  description:
    - The whole result once the load has ended, otherwise none. All keys of Fortio's JSON, and C(LoadTest).
  returned: success
  type: dict
  contains:
    URL:
      description: >-
        Where requests were sent. Of a query only the names are told, since any value may be a credential.
      type: str
    RetCodes:
      description: Requests by status; C(-1) counts those that failed for any other reason than their status.
      type: dict
    DurationHistogram:
      description: Durations from sending to the end of the response, in seconds.
      type: dict
    LoadTest:
      description: What Fortio does not tell.
      type: dict
      contains:
        requests:
          description: How many requests ended.
          type: int
        failed:
          description: How many of them failed.
          type: int
        classes:
          description: Failures by class.
          type: dict
        ledger:
          description: A record of each failed request.
          type: list
          elements: dict
        revisions:
          description: >-
            Requests and failures of each revision, of up to 100; C((others)) sums up any further ones.
          type: dict
        streamed:
          description: >-
            Of streamed answers the tokens, and the times until the first token and between tokens, also by
            revision; none where none were asked for.
          type: dict
        payloads:
          description: >-
            Weight, requests and failures of each payload, where there are several.
          type: dict
        arrivals:
          description: >-
            How requests were spread, with which seed, and along which profile or trace; one for each load
            generator.
          type: list
          elements: dict
        connection_modes:
          description: >-
            Requests, failures and the longest time without a success on keep-alive and on new connections.
          type: dict
        longest_success_gap:
          description: The longest time without a success.
          type: dict
        outages:
          description: >-
            Runs of consecutive requests that all failed, on keep-alive and on new connections, by when they
            were sent.
          type: list
          elements: dict
        rate_kept:
          description: Whether 99 % of the requests that were due were sent within 0.1 s of their time.
          type: bool
        lateness:
          description: How late requests were sent, in seconds.
          type: dict
        stalls:
          description: When the generator itself did not run.
          type: list
          elements: dict
        response_time:
          description: Durations from when requests were due, in the shape of Fortio's histograms.
          type: dict
        response_time_by_revision:
          description: The same of each revision.
          type: dict
        timeline:
          description: Counts for each second.
          type: list
          elements: dict
result_file:
  description: The file on the target host that has the result once the load has ended, otherwise empty.
  returned: success
  type: str
  sample: /home/me/.local/state/iter8-kfserving/loads/quickstart/result.json
report:
  description: The end of the run in words and in the shape of Fortio's, empty while it goes on.
  returned: success
  type: str
  sample: "Ended after 5m0s : 600 calls. qps=2"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.iter8.kfserving.plugins.module_utils._common.printable import plain, printable_lines
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http2.library import LibraryMissing
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.arguments import (
    LOAD_ARGUMENTS,
    MUTUALLY_EXCLUSIVE,
    payload_texts,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.ensure import ensure_state, shown

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "finished", "stopped", "absent"], "default": "started"},
    **LOAD_ARGUMENTS,
    "copy_files": {"type": "bool", "default": False},
    "start_at": {"type": "str"},
    "stop_at": {"type": "str"},
    "parts": {"type": "int", "default": 1},
    "part": {"type": "int", "default": 0},
    "clock_ahead": {"type": "float", "default": 0},
    "http2_library": {"type": "path"},
    "unix_socket": {"type": "path"},
    "ca_file": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "dest": {"type": "path"},
    "state_dir": {"type": "path"},
}


RENAMED = {"lanes": "connection_modes (whose values are keep-alive, new and both)"}


class LoadTestModule(AnsibleModule):
    """Tells whoever gives an argument by its old name what it is called now."""

    def fail_json(self, msg, **kwargs):  # type: ignore[no-untyped-def]
        """Ansible's own message for an argument that it does not know lists all that there are."""
        for old, new in RENAMED.items():
            if old in self.params:
                msg = f"The argument {old} is called {new} now."
        super().fail_json(msg, **kwargs)


def main() -> None:
    """Entry point."""
    module = LoadTestModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
        required_if=[("state", "started", ("url",))],
        supports_check_mode=True,
    )
    module.no_log_values.difference_update(payload_texts(module.params))
    invocation = {"module_args": shown(module.params)}
    try:
        # Servers name revisions, and Ansible sends what is returned to terminals and logs.
        result = plain(ensure_state(module.params, module.check_mode), printable_lines)
        module.exit_json(invocation=invocation, **result)
    except LoadError as error:
        # What the action plugin of the same name brings then.
        lacks = {"lacks_http2": True} if isinstance(error, LibraryMissing) else {}
        module.fail_json(msg=printable_lines(str(error)), invocation=invocation, **lacks)


if __name__ == "__main__":
    main()
