# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a load sends, when and how, as all modules that start one take it."""

from __future__ import annotations


class ModuleDocFragment:
    """C(iter8.kfserving.load): the options that `LOAD_ARGUMENTS` specifies."""

    DOCUMENTATION = r"""
options:
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
  seed:
    description:
      - What is drawn at random, payloads and O(arrival), is drawn alike in each run with the same seed, and
        so it is for all parts of a load. Several loads need one each, or they would send at the same
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
  server_name:
    description: The name for TLS (SNI, and to check the certificate against) rather than the host of O(url).
    type: str
  verify:
    description: Whether the server's certificate must be valid.
    type: bool
    default: true
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
"""
