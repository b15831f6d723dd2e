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
  url:
    description:
      - Where to send the requests, beginning with C(http://) or C(https://), or for gRPC over HTTP/2 with
        C(grpc://) (without TLS, and without asking the server first) or C(grpcs://) (with TLS and the ALPN
        C(h2)). IPv6 addresses stand in brackets.
      - With gRPC the path is empty, or names the model and if need be its version, as in
        C(grpc://127.0.0.1:8001/v2/models/my-model/versions/2).
      - It may not hold a user name or password. Of a query only the names are shown in results and errors,
        but Ansible itself logs a task's arguments, so credentials belong into O(secret_headers).
      - Required to start a load.
    type: str
  headers:
    description:
      - Headers of each request. C(Host) may differ from the host of O(url).
      - Those that carry credentials, such as C(Authorization), C(Cookie) or C(X-Api-Key), are refused; they
        belong into O(secret_headers).
      - The engine adds C(X-Request-Id), unique to each request, unless it is given here. See also
        O(request_id_header).
      - With gRPC they are the metadata of each call, C(Host) is the authority, and values of names that end
        with C(-bin) are in base64.
    type: dict
    default: {}
  secret_headers:
    description:
      - More headers of each request, for credentials. Ansible does not show them. They are not stored on
        disk.
    type: dict
    default: {}
  request_id_header:
    description:
      - One more header for the id of each request, such as one that the server writes into its log. The id is
        unique to each request, load generator and run, and stands as C(sent_id) in the record of each failed
        request.
    type: str
  method:
    description: The HTTP method. Without it V(POST) is used where there is a payload, else V(GET).
    type: str
  payload:
    description:
      - The body of each request. V({uuid}) in it becomes a new UUID in each request. Ansible does not show
        it.
      - A text is sent as it is. A mapping or a list is sent as JSON, as C(application/json) unless O(headers)
        say otherwise.
      - With gRPC it is the JSON of an inference request as the V2 protocol has it over REST, which is sent as
        the message C(ModelInferRequest). An answer has to repeat its C(id), if it has one.
    type: raw
  payload_file:
    description:
      - File on the target host with the body of each request. V({uuid}) in it becomes a new UUID in each
        request.
      - With gRPC it holds what O(payload) may be, or the serialised message itself, in which nothing is
        replaced.
    type: path
  payload_files:
    description: Files whose contents are the body of one request after the other, in turn.
    type: list
    elements: path
  payloads:
    description:
      - Several payloads, of which each request carries one, drawn by their weights. Which one that is depends
        on O(seed) and the request's number alone.
      - The result tells for each how many requests carried it and how many of these failed.
    type: list
    elements: dict
    suboptions:
      payload:
        description: The body, as of the option of that name.
        type: raw
      payload_file:
        description: File on the target host with the body.
        type: path
      weight:
        description: How often to send it, beside the others' weights. V(0) for never.
        type: float
        default: 1
      name:
        description: What it is called in the result, without it its file's name or C(payload) and its number.
        type: str
  payload_lines:
    description:
      - File on the target host with one payload a line, each of them JSON (JSONL), of up to 100000. Each
        request carries one, drawn by O(seed), and all are as likely. It is sent as C(application/json) unless
        O(headers) say otherwise.
      - The result counts the first 1000 each by itself, as C(line) and its number, and sums up the others.
    type: path
  copy_files:
    description:
      - Whether O(payload_file), O(payload_files), those of O(payloads), O(payload_lines) and O(send_times)
        are files of the controller rather than of the target host. They are there only while the task runs,
        for the load keeps what it sends in memory. Certificates are files of the target host all the same.
    type: bool
    default: false
  seed:
    description:
      - What is drawn at random, payloads and O(arrival), is drawn alike in each run with the same seed, and
        so it is for all O(parts) of a load. Several loads need one each, or they would send at the same
        times.
    type: int
    default: 0
  rate:
    description:
      - Requests a second in all, up to a million; V(0) for as fast as O(connections) allow.
      - V(2) where neither O(profile) nor O(send_times) says when requests are due.
    type: float
  arrival:
    description:
      - V(uniform) spreads the requests evenly. V(poisson) sends them at random, as clients do that know
        nothing of each other, with O(rate) or O(profile) as the mean. Either way all times are fixed
        beforehand, so no slow answer delays a request.
    type: str
    choices: [uniform, poisson]
    default: uniform
  profile:
    description:
      - How the rate changes, step by step, instead of a O(rate). Rates are requests a second, V(0) for none.
      - The load ends with the last step, unless it is to O(repeat) or O(duration) ends it before. To stay at
        the last rate, give its step a long duration.
    type: list
    elements: dict
    suboptions:
      rate:
        description: The rate all through the step.
        type: float
      from:
        description: The rate at its beginning, which changes evenly.
        type: float
      to:
        description: The rate at its end, with O(profile[].from).
        type: float
      duration:
        description: How long it lasts, such as V(30s) or V(5m).
        type: str
        required: true
  send_times:
    description:
      - CSV file on the target host whose first column says when requests are due, in seconds or as dates with
        times, as public traces of model servers have it; at most 1000000 rows, in order. The first row is due
        at once, each other as much later as its time is. A head is passed over.
      - The load ends with the last row, unless it is to O(repeat) or O(duration) ends it before.
    type: path
  repeat:
    description: Whether O(profile) or O(send_times) begin anew when they are over.
    type: bool
    default: false
  duration:
    description:
      - How long to send requests, such as V(90s), V(5m) or V(1h30m); V(0) for until stopped, though for
        O(max_duration) at most.
      - V(5m) without it, or V(0) with O(profile) or O(send_times), which end the load by themselves.
    type: str
  max_duration:
    description:
      - How long to send requests at most with a O(duration) of V(0), since whoever was to stop the load may
        never do so. The load is V(finished) then.
    type: str
    default: 4h
  calls:
    description: Stop after this many requests; V(0) for no such limit.
    type: int
    default: 0
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
  connections:
    description: How many connections to keep open and use in turn.
    type: int
    default: 4
  max_connections:
    description:
      - How many connections may be open at once while requests are slow to be answered, with a O(rate) and
        O(pacing=open). V(0) allows as many as requests fall due within O(timeout), up to 1000.
      - With gRPC it bounds the requests in flight, several of which share a connection.
    type: int
    default: 0
  timeout:
    description:
      - How long a request may take from its sending, connecting included, to the last byte of its response.
    type: str
    default: 3s
  streams:
    description:
      - How many requests may be in flight at once on each kept connection with gRPC, as far as the server
        takes so many. Where none of the kept connections takes another, one more is opened.
      - With a O(rate) of V(0), and with O(pacing=closed), O(connections) times this many are in flight.
    type: int
    default: 100
  grpc_method:
    description:
      - What is called with gRPC. V(ModelInfer) and V(ModelStreamInfer) are those of the V2 protocol, whose
        messages are checked. A stream of V(ModelStreamInfer) is one request, from its one message to the
        trailers of its answers.
      - Another service's method is written as V(package.Service/Method). Its messages come from
        O(payload_file), serialised, and of its answers it is checked that they are whole.
    type: str
    default: ModelInfer
  grpc_stream:
    description: Whether another service's O(grpc_method) answers with a stream of messages, one at least.
    type: bool
    default: false
  http2_library:
    description:
      - A zip file on the target host with the Python packages C(h2), C(hpack) and C(hyperframe), for gRPC
        from a host that lacks them. Where it is not given, the packages of the control node are brought.
    type: path
  connection_modes:
    description:
      - V(keep-alive) keeps connections open, V(new) makes one for each request, V(both) does either in turn.
        The result counts the two apart.
    type: str
    choices: [keep-alive, new, both]
    default: keep-alive
  pacing:
    description:
      - V(open) sends each request at its time. V(closed) is Fortio's pacing, in which each of
        O(connections) waits for an answer before it sends the next request.
    type: str
    choices: [open, closed]
    default: open
  catch_up:
    description:
      - With O(pacing=closed), whether a connection that is late sends the requests that it missed one after
        the other.
    type: bool
    default: true
  warmup:
    description: How many requests to send first, one after the other, that are not counted.
    type: int
    default: 0
  abort_failures:
    description: End the load once this many requests have failed; V(0) for never.
    type: int
    default: 0
  revision_header:
    description: The response header that names the revision that answered.
    type: str
  revision_field:
    description:
      - The field of a JSON response that names the revision that answered, as names and indexes joined by
        dots. Used where O(revision_header) is not set or not in the response. A body that is read for it may
        have 16 MiB; a longer one counts as a failure of the load generator's own.
      - Of a list of objects a name means the one with that C(name), as in V(outputs.revision.data.0).
      - With gRPC the answer of the V2 protocol is read as REST would have had it, so that V(model_version)
        and V(parameters.revision) name fields of it.
    type: str
  stream:
    description:
      - V(sse) asks for answers that are streamed as server-sent events, of OpenAI's chat completions and
        completions or of the V2 protocol's C(generate_stream). Each stream is one request. That an answer is
        to be streamed the payload has to say (its field C(stream)), or O(url).
      - A stream is right if its response is whole, is of the type C(text/event-stream) and tells of no error,
        if each choice that appeared has a C(finish_reason), and if C([DONE]) came where the protocol has it.
        Anything else is a failure of a class that says what was missing.
      - The result tells the times until the first token and between tokens, and how far each failed stream
        had come.
    type: str
    choices: [sse]
  stream_timeout:
    description:
      - How long a whole stream may take, with O(stream). O(timeout) is then for how long nothing may be
        heard, until the first event and from one event to the next.
    type: str
    default: 10m
  expect_status:
    description:
      - The statuses that count as success. Without it these are 200 to 299.
      - Not with gRPC, where the one right answer has the status 200 and a grpc-status of 0.
    type: list
    elements: int
  expect_body:
    description:
      - Text that must be in the body of each response. A body that is read for it may have 16 MiB; a longer
        one counts as a failure of the load generator's own.
    type: str
  max_head:
    description:
      - How many bytes to read of a response's status line and headers, and of its trailers, at most. One
        that has more counts as a failure of the load generator's own, of class C(client).
    type: int
    default: 1048576
  max_interim:
    description:
      - How many interim responses (status 100 to 199) to read before a response at most. One after more
        counts as a failure of the load generator's own, of class C(client).
    type: int
    default: 100
  address:
    description: Connect to this C(host:port) rather than to that of O(url).
    type: str
  unix_socket:
    description: Connect to this Unix socket rather than to the host of O(url).
    type: path
  server_name:
    description: The name for TLS (SNI, and to check the certificate against) rather than the host of O(url).
    type: str
  verify:
    description: Whether the server's certificate must be valid.
    type: bool
    default: true
  ca_file:
    description: File with the certificates (PEM) to trust rather than the system's.
    type: path
  client_cert:
    description: File with the client's certificate (PEM).
    type: path
  client_key:
    description: File with the key of O(client_cert) (PEM, without a passphrase), where that does not hold it.
    type: path
  connect_check:
    description:
      - Whether to make sure, by one connection that carries no request, that the server can be reached.
    type: bool
    default: true
  ledger_limit:
    description: How many failed requests to keep a record of. Further ones are counted only.
    type: int
    default: 10000
  labels:
    description: Free text for the result's C(Labels), O(name) without it.
    type: str
    default: ""
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
from ansible_collections.iter8.kfserving.plugins.module_utils._load.job.ensure import ensure_state, shown

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "finished", "stopped", "absent"], "default": "started"},
    "url": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
    "request_id_header": {"type": "str"},
    "method": {"type": "str"},
    "payload": {"type": "raw", "no_log": True},
    "payload_file": {"type": "path"},
    "payload_files": {"type": "list", "elements": "path"},
    "payloads": {
        "type": "list",
        "elements": "dict",
        "options": {
            "payload": {"type": "raw", "no_log": True},
            "payload_file": {"type": "path"},
            "weight": {"type": "float", "default": 1},
            "name": {"type": "str"},
        },
    },
    "payload_lines": {"type": "path"},
    "copy_files": {"type": "bool", "default": False},
    "seed": {"type": "int", "default": 0},
    "rate": {"type": "float"},
    "arrival": {"type": "str", "choices": ["uniform", "poisson"], "default": "uniform"},
    "profile": {
        "type": "list",
        "elements": "dict",
        "options": {
            "rate": {"type": "float"},
            "from": {"type": "float"},
            "to": {"type": "float"},
            "duration": {"type": "str", "required": True},
        },
    },
    "send_times": {"type": "path"},
    "repeat": {"type": "bool", "default": False},
    "duration": {"type": "str"},
    "max_duration": {"type": "str", "default": "4h"},
    "calls": {"type": "int", "default": 0},
    "start_at": {"type": "str"},
    "stop_at": {"type": "str"},
    "parts": {"type": "int", "default": 1},
    "part": {"type": "int", "default": 0},
    "clock_ahead": {"type": "float", "default": 0},
    "connections": {"type": "int", "default": 4},
    "max_connections": {"type": "int", "default": 0},
    "timeout": {"type": "str", "default": "3s"},
    "streams": {"type": "int", "default": 100},
    "grpc_method": {"type": "str", "default": "ModelInfer"},
    "grpc_stream": {"type": "bool", "default": False},
    "http2_library": {"type": "path"},
    "connection_modes": {"type": "str", "choices": ["keep-alive", "new", "both"], "default": "keep-alive"},
    "pacing": {"type": "str", "choices": ["open", "closed"], "default": "open"},
    "catch_up": {"type": "bool", "default": True},
    "warmup": {"type": "int", "default": 0},
    "abort_failures": {"type": "int", "default": 0},
    "revision_header": {"type": "str"},
    "revision_field": {"type": "str"},
    "stream": {"type": "str", "choices": ["sse"]},
    "stream_timeout": {"type": "str", "default": "10m"},
    "expect_status": {"type": "list", "elements": "int"},
    "expect_body": {"type": "str"},
    "max_head": {"type": "int", "default": 1048576},
    "max_interim": {"type": "int", "default": 100},
    "address": {"type": "str"},
    "unix_socket": {"type": "path"},
    "server_name": {"type": "str"},
    "verify": {"type": "bool", "default": True},
    "ca_file": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "connect_check": {"type": "bool", "default": True},
    "ledger_limit": {"type": "int", "default": 10000},
    "labels": {"type": "str", "default": ""},
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


def leaves(value):  # type: ignore[no-untyped-def]
    """The texts of all values within a payload, as Ansible would hide them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {text for one in value for text in leaves(one)}
    return {str(value)}


def main() -> None:
    """Entry point."""
    module = LoadTestModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[
            ("payload", "payload_file", "payload_files", "payloads", "payload_lines"),
            ("rate", "profile", "send_times"),
        ],
        required_if=[("state", "started", ("url",))],
        supports_check_mode=True,
    )
    # The payload is in nothing that is returned; searching for it would hide numbers that are part of it.
    rows = module.params["payloads"] or []
    for payload in (module.params["payload"], *(row["payload"] for row in rows)):
        module.no_log_values.difference_update(leaves(payload))
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
