# SPDX-License-Identifier: GPL-3.0-or-later
"""Options, durations, URLs and request bytes: what is read, and what is refused with one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._load import duration
from ansible_collections.iter8.kfserving.plugins.module_utils._load.errors import LoadError
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.request import build
from ansible_collections.iter8.kfserving.plugins.module_utils._load.http.target import (
    is_literal,
    parse_url,
    probe,
    resolve,
    shown_url,
    tls_context,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._load.options import Options

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("5m", 300 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("90", 90 * SECOND),
        (2.5, 2_500_000_000),
        ("300ms", 300_000_000),
        ("1m0.5s", 60_500_000_000),
        ("0", 0),
        (" 7s ", 7 * SECOND),
        ("10us", 10_000),
    ],
)
def test_durations(text: Any, nanoseconds: int) -> None:
    assert duration.parse(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["soon", "", "-1", "5 m", "m", "1d", "1h30", "5m-1s", "inf", "nan", "1e3", "٣s"]
)
def test_durations_that_cannot_be_read(text: str) -> None:
    with pytest.raises(LoadError, match="The time-out .* cannot be read: write it as"):
        duration.parse(text, "time-out")


@pytest.mark.parametrize("text", ["9" * 400, "9" * 400 + "h", "1000000h"])
def test_durations_that_are_too_long(text: str) -> None:
    with pytest.raises(LoadError, match="longer than a hundred years"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (300 * SECOND, "5m0s"),
        (5400 * SECOND, "1h30m0s"),
        (1_500_000_000, "1.5s"),
        (250_000_000, "250ms"),
        (1_234_000, "1.234ms"),
        (999, "999ns"),
        (2204092979, "2.204092979s"),
    ],
)
def test_go_text(nanoseconds: int, text: str) -> None:
    assert duration.go_text(nanoseconds) == text


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"rate": -1}, "The rate -1 must be"),
        ({"rate": float("nan")}, "The rate nan must be"),
        ({"rate": float("inf")}, "The rate inf must be"),
        ({"connections": 0}, "connections 0 must be from 1"),
        ({"connections": 10**6}, "connections 1000000 must be"),
        ({"max_connections": -1}, "max_connections -1 must"),
        ({"timeout": 0}, "at least one millisecond"),
        ({"duration": -1}, "duration must not be negative"),
        ({"calls": -1}, "calls must not be negative"),
        ({"rate": 1, "duration": SECOND // 2}, "too short for one request"),
        ({"connection_modes": "fast"}, "connection_modes must be one of"),
        ({"pacing": "fast"}, "pacing must be one of"),
        ({"client_key": "/x"}, "client_key needs client_cert"),
        ({"expect_status": [99]}, "expected status 99"),
        ({"method": "GET /"}, "not an HTTP method"),
        ({"headers": [("A B", "x")]}, "header name 'A B' is not valid"),
        ({"headers": [("A", "x\r\nB: y")]}, "value of header 'A' has a character"),
        ({"headers": [("A", "\u20ac")]}, "value of header 'A' has a character"),
        ({"headers": [("A", "x\x01")]}, "value of header 'A' has a character"),
        ({"headers": [("Host", "a"), ("host", "b")]}, "header 'Host' is given twice"),
        ({"headers": [("Content-Length", "1")]}, "is set by the engine"),
        ({"rate": 1e300}, "The rate 1e\\+300 must be a number from 0 to 1000000"),
        ({"stop_at": float("nan")}, "stop_at must be a finite number"),
    ],
)
def test_options_that_make_no_sense(more: dict[str, Any], why: str) -> None:
    with pytest.raises(LoadError, match=why):
        Options(url="http://h/", **more).check()


def test_options_survive_json_and_are_told_apart() -> None:
    options = Options(url="http://h/", payloads=[b"\xff\0"], headers=[("A", "b")], rate=0.1)
    assert Options.from_json(options.to_json()) == options
    assert options.fingerprint() == Options.from_json(options.to_json()).fingerprint()
    assert (
        options.fingerprint()
        != Options(url="http://h/", payloads=[b"\xff"], headers=[("A", "b")]).fingerprint()
    )
    with pytest.raises(LoadError, match="Unknown options: speed"):
        Options.from_json({"url": "http://h/", "speed": 3})


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "must be an object"),
        ({}, "name no url"),
        ({"url": 5}, "option url must be of type str"),
        ({"url": "http://h/", "rate": "fast"}, "option rate must be of type float"),
        ({"url": "http://h/", "calls": 1.5}, "option calls must be of type int"),
        ({"url": "http://h/", "calls": True}, "option calls must be of type int"),
        ({"url": "http://h/", "verify": "no"}, "option verify must be of type bool"),
        ({"url": "http://h/", "headers": {"A": "b"}}, "option headers must be of type list"),
        ({"url": "http://h/", "headers": ["A"]}, "headers must list pairs"),
        ({"url": "http://h/", "payloads": ["not base64!"]}, "payloads must list texts in base64"),
        ({"url": "http://h/", "payloads": [5]}, "payloads must list texts in base64"),
        ({"url": "http://h/", "expect_status": ["200"]}, "expect_status must list whole numbers"),
    ],
)
def test_options_of_wrong_types(given: Any, why: str) -> None:
    with pytest.raises(LoadError, match=why):
        Options.from_json(given)


@pytest.mark.parametrize(
    ("more", "planned", "pool"),
    [
        ({"rate": 2, "duration": 300 * SECOND}, 600, 10),
        ({"rate": 0.1, "duration": 25 * SECOND}, 2, 5),
        ({"rate": 2, "duration": 300 * SECOND, "calls": 7}, 7, 10),
        ({"calls": 7}, 7, 4),
        ({"rate": 10_000}, 0, 1000),
        ({"rate": 10_000, "max_connections": 30}, 0, 30),
        ({"rate": 10_000, "pacing": "closed"}, 0, 4),
    ],
)
def test_planned_requests_and_pool(more: dict[str, Any], planned: int, pool: int) -> None:
    options = Options(url="http://h/", **more)
    assert (options.planned, options.pool) == (planned, pool)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://h", ("h", 80, "h", "/")),
        ("http://h:8080/a/b?c=d#e", ("h", 8080, "h:8080", "/a/b?c=d")),
        ("https://h?x", ("h", 443, "h", "/?x")),
        ("http://[::1]:8080/", ("::1", 8080, "[::1]:8080", "/")),
        ("http://[fe80::1%25lo]/", ("fe80::1%lo", 80, "[fe80::1]", "/")),
    ],
)
def test_urls(url: str, where: tuple) -> None:
    target = parse_url(Options(url=url))
    assert (target.host, target.port, target.authority, target.path) == where


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("127.0.0.1:8080/", "must begin with http://, https://, grpc:// or grpcs://"),
        ("ftp://h/", "must begin with"),
        ("", "must begin with"),
        ("http://", "names no host"),
        ("http:///x", "names no host"),
        ("http://h:99999/", "not valid"),
        ("http://h:x/", "not valid"),
        ("http://[::1/", "not valid"),
        ("http://h:0/", "port 0, on which nothing can listen"),
        ("http://h/?token=secret x", "percent-encoded"),
        ("ftp://h/?token=secret", "must begin with"),
        ("http://h:99999/?secret", "not valid"),
        ("user:secret@h", "give an Authorization header"),
        ("http://h/a b", "percent-encoded"),
        ("http://h/\r\nX: y", "percent-encoded"),
        ("http://user:secret@h/", "give an Authorization header"),
    ],
)
def test_urls_that_are_refused(url: str, why: str) -> None:
    with pytest.raises(LoadError, match=why) as refusal:
        parse_url(Options(url=url))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h:1/p", "http://h:1/p"),
        ("http://h/p?token=s3cret&v=1#s3cret", "http://h/p?token=***&v=***"),
        ("http://h/?s3cret", "http://h/?***"),
        ("http://h/?token=s3=cret", "http://h/?token=***"),
        ("http://user:s3cret@h/p@q", "http://***@h/p@q"),
        ("user:s3cret@h", "***@h"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_credential(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_name_that_cannot_be_one_is_not_resolved(host: str) -> None:
    with pytest.raises(LoadError, match=f"The host '{host}' cannot be resolved: a part of the name is empty"):
        probe(parse_url(Options(url=f"http://{host}/")), 1)


@pytest.mark.parametrize("name", [".x", "a" * 64])
def test_a_server_name_that_cannot_be_one(name: str) -> None:
    options = Options(url="https://h/", server_name=name)
    with pytest.raises(LoadError, match="cannot be a name for TLS"):
        tls_context(options, parse_url(options))


def test_connect_elsewhere() -> None:
    target = parse_url(Options(url="https://model.example.com/x", address="[::1]:8443", server_name="other"))
    assert (target.host, target.port) == ("::1", 8443)
    assert (target.authority, target.server_name) == ("model.example.com", "other")
    assert is_literal(target)
    assert not is_literal(parse_url(Options(url="http://localhost/")))
    for wrong in ("host", "host:", ":80", "host:0", "host:x"):
        with pytest.raises(LoadError, match="must be written as host:port"):
            parse_url(Options(url="http://h/", address=wrong))


def test_probe_says_what_is_wrong() -> None:
    with pytest.raises(LoadError, match="Cannot connect to 127.0.0.1:1: "):
        probe(parse_url(Options(url="http://127.0.0.1:1/")), 1)
    with pytest.raises(LoadError, match="Cannot connect to /nowhere: "):
        probe(parse_url(Options(url="http://h/", unix_socket="/nowhere")), 1)


def test_addresses_are_written_as_people_do() -> None:
    assert resolve(parse_url(Options(url="http://[::1]:8080/")))[0].text == "[::1]:8080"
    assert resolve(parse_url(Options(url="http://127.0.0.1:8080/")))[0].text == "127.0.0.1:8080"


def request(**more: Any) -> bytes:
    options = Options(url="http://h:81/p", **more)
    template = build(options, parse_url(options), "run", close=False)[0]
    template.stamp(7)
    return bytes(template.buffer)


def test_request_bytes() -> None:
    assert request() == (
        b"GET /p HTTP/1.1\r\nHost: h:81\r\nUser-Agent: iter8.kfserving\r\n"
        b"X-Request-Id: run-0000000007\r\n\r\n"
    )
    assert request(method="post", headers=[("hOST", "o"), ("user-agent", "u"), ("X-Request-ID", "mine")]) == (
        b"POST /p HTTP/1.1\r\nhOST: o\r\nuser-agent: u\r\nX-Request-ID: mine\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: 0\r\n\r\n"
    )
    assert request(
        payloads=[b"{}"], headers=[("Content-Type", "application/json"), ("X-Request-Id", "mine")]
    ).endswith(b"\r\nX-Request-Id: mine\r\nContent-Length: 2\r\n\r\n{}")


def test_uuids_take_their_length() -> None:
    sent = request(payloads=[b"<{uuid}><{uuid}>"])
    head, _unused, body = sent.partition(b"\r\n\r\n")
    assert b"Content-Length: 76" in head
    assert len(body) == 76
    assert body[1:37] != body[39:75]
    assert body[1:37] != b"0" * 36
