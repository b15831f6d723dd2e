# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests read: what is wrong with each is one sentence, and all are told at once."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._platform import sources as sources_side
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.edits import edited
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.sources import (
    Reader,
    SourceError,
    below,
    parsed,
    read_all,
)
from ansible_collections.iter8.kfserving.plugins.module_utils._platform.steps import ManifestSource

GOOD = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
SHA = hashlib.sha256(GOOD).hexdigest()


def unused(command: list[str]) -> tuple[int, str, str]:
    raise AssertionError(command)


class Pages(BaseHTTPRequestHandler):
    """A few pages by path."""

    def do_GET(self) -> None:
        pages = {"/good.yaml": GOOD, "/cut.yaml": GOOD, "/login": b"<!DOCTYPE html><html>log in</html>"}
        body = pages.get(self.path.partition("?")[0])
        self.send_response(404 if body is None else 200)
        if body is not None:
            self.send_header("Content-Length", str(len(body) + (70 if self.path == "/cut.yaml" else 0)))
        self.end_headers()
        self.wfile.write(body or b"no")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def wrong(reader: Reader, source: ManifestSource) -> str:
    with pytest.raises(SourceError) as caught:
        reader.objects(source)
    return str(caught.value)


def test_an_address_is_read_and_held_against_its_checksum(site: str) -> None:
    reader = Reader(unused)
    url = f"{site}/good.yaml"
    assert [each["kind"] for each in reader.objects(ManifestSource(url=url, sha256=SHA.upper()))] == [
        "ConfigMap"
    ]
    assert (reader.verified, reader.unverified) == ([url], [])
    reader.objects(ManifestSource(url=url))
    assert reader.unverified == [url]


def test_another_file_than_the_one_that_is_meant_is_refused(site: str) -> None:
    source = ManifestSource(url=f"{site}/good.yaml", sha256="0" * 64)
    assert f"its SHA-256 is {SHA}, not {'0' * 64}" in wrong(Reader(unused), source)


def test_the_users_checksum_counts_before_the_steps_own(site: str) -> None:
    url = f"{site}/good.yaml"
    source = ManifestSource(url=url, sha256="0" * 64)
    assert Reader(unused, checksums={url: SHA}).objects(source)
    assert Reader(unused, checksums={url: ""}).objects(source)
    assert "not 1111" in wrong(Reader(unused, checksums={url: "1111"}), ManifestSource(url=url))


def test_every_source_that_cannot_be_used_is_told(site: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    sources = [
        ManifestSource(url=f"{site}/gone.yaml"),
        ManifestSource(url=f"{site}/login"),
        ManifestSource(file=str(tmp_path / "absent.yaml")),
        ManifestSource(file=str(tmp_path / "bad.yaml")),
        ManifestSource(url=f"{site}/good.yaml", sha256="0" * 64),
        ManifestSource(url="http://127.0.0.1:1/x.yaml"),
    ]
    objects, problems = read_all(
        Reader(unused), [("one", sources), ("two", [ManifestSource(url=f"{site}/good.yaml")])]
    )
    assert [len(each) for each in objects] == [0, 1]
    words = ["404", "a page of HTML", "No such file", "is no YAML", "SHA-256", "cannot be reached"]
    assert len(problems) == len(words)
    for problem, word in zip(problems, words):
        assert problem.startswith("one: ")
        assert word in problem


def test_an_answer_that_was_cut_off_is_not_taken_for_the_whole(site: str) -> None:
    # What came is whole documents, so that nothing else would tell.
    assert "was cut off: of its bytes 70 are missing" in wrong(
        Reader(unused), ManifestSource(url=f"{site}/cut.yaml")
    )


@pytest.mark.parametrize(
    ("landed", "taken"), [("https://b/x?token=secret", True), ("http://b/x?t=secret", False)]
)
def test_a_redirect_does_not_lead_out_of_tls(
    monkeypatch: pytest.MonkeyPatch, landed: str, taken: bool
) -> None:
    answer: Any = io.BytesIO(GOOD)
    answer.geturl = lambda: landed
    monkeypatch.setattr(sources_side, "open_url", lambda *_where, **_options: answer)
    if taken:
        assert Reader(unused).objects(ManifestSource(url="https://a/x"))
    else:
        assert "leads to an address without TLS, http://b/x." in wrong(
            Reader(unused), ManifestSource(url="https://a/x")
        )


def test_a_file_that_is_too_large_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_side, "LARGEST_BYTES", 10)
    (tmp_path / "large.yaml").write_bytes(GOOD)
    assert "is larger than" in wrong(Reader(unused), ManifestSource(file=str(tmp_path / "large.yaml")))


@pytest.mark.parametrize("page", ["good.yaml", "login", "gone.yaml"])
def test_what_lets_a_reader_in_is_shown_nowhere(site: str, page: str) -> None:
    url = f"{site.replace('//', '//me:secret@')}/{page}?token=secret"
    for reader in (Reader(unused, mirror=site.replace("//", "//me:secret@")), Reader(unused)):
        told = wrong(reader, ManifestSource(url=url, sha256="0" * 64))
        assert "secret" not in told
        assert page in told
    reader = Reader(unused, checksums={url: SHA})
    if page == "good.yaml":
        assert reader.objects(ManifestSource(url=url))
        assert reader.verified == [f"{site}/{page}"]
    failed = Reader(lambda command: (1, "", f"cannot clone {command[-1]}"))
    told = wrong(failed, ManifestSource(kustomize="https://me:secret@github.com/a/b?ref=v1"))
    assert "secret" not in told


def test_a_checksum_may_stand_under_the_address_as_messages_have_it(site: str) -> None:
    source = ManifestSource(url=f"{site}/good.yaml?token=secret")
    assert f"under {site}/good.yaml in the checksums" in wrong(
        Reader(unused, checksums={source.url: "1111"}), source
    )
    assert "not 1111" in wrong(Reader(unused, checksums={str(source): "1111"}), source)
    assert Reader(unused, checksums={str(source): SHA}).objects(source)


def test_a_checksum_without_a_value_takes_the_check_away(site: str) -> None:
    url = f"{site}/good.yaml"
    none: Any = {url: None}
    assert Reader(unused, checksums=none).objects(ManifestSource(url=url, sha256="0" * 64))


def test_a_folder_and_a_mirror_have_files_under_host_and_path(site: str, tmp_path: Path) -> None:
    url = "https://github.com/x/y/releases/download/v1/good.yaml"
    assert below(url) == "github.com/x/y/releases/download/v1/good.yaml"
    assert below("https://me:secret@mirror:8443/good.yaml") == "mirror:8443/good.yaml"
    path = tmp_path / below(url)
    path.parent.mkdir(parents=True)
    path.write_bytes(GOOD)
    assert Reader(unused, folder=str(tmp_path)).objects(ManifestSource(url=url, sha256=SHA))
    missing = wrong(Reader(unused, folder=str(tmp_path / "other")), ManifestSource(url=url))
    assert f"{url} is to be read from {tmp_path}/other/github.com" in missing
    assert "404" in wrong(Reader(unused, mirror=site), ManifestSource(url=url))
    short = "https://good.yaml"
    assert Reader(unused, mirror=site).objects(ManifestSource(url=short))


def test_kustomize_is_run_on_the_folders_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str]) -> tuple[int, str, str]:
        asked.append(command)
        return 0, GOOD.decode(), ""

    module = "ansible_collections.iter8.kfserving.plugins.module_utils._platform.sources"
    monkeypatch.setattr(f"{module}.shutil.which", lambda name: name if name == "kubectl" else None)
    source = ManifestSource(kustomize="github.com/a/b/install?ref=v1")
    assert Reader(run).objects(source)
    assert Reader(run, folder=str(tmp_path)).objects(source)
    assert asked == [
        ["kubectl", "kustomize", "github.com/a/b/install?ref=v1"],
        ["kubectl", "kustomize", str(tmp_path / "github.com/a/b/install")],
    ]
    failed = Reader(lambda _command: (1, "", "first\nthe last line\n"))
    assert "failed: the last line" in wrong(failed, source)
    monkeypatch.setattr(f"{module}.shutil.which", lambda _name: None)
    assert "neither kustomize nor kubectl" in wrong(Reader(run), source)


def test_what_yaml_takes_for_a_date_or_a_value_is_text_to_kubernetes() -> None:
    text = b"apiVersion: v1\nkind: C\nmetadata: {name: a}\ndata: {day: 2021-03-04, operators: [=, '!=']}\n"
    assert parsed(text, "f")[0]["data"] == {"day": "2021-03-04", "operators": ["=", "!="]}


@pytest.mark.parametrize("text", ["10:30", "1:2:3", "+1:59", "190:20:30.15", "52:54:00:12:34:56"])
def test_what_yaml_takes_for_a_number_to_the_base_of_60_is_text_to_kubernetes(text: str) -> None:
    manifest = (
        f"apiVersion: v1\nkind: C\nmetadata: {{name: a}}\ndata:\n  at: {text}\n  numbers: [-10, 1.5, 010]\n"
    )
    assert parsed(manifest.encode(), "f")[0]["data"] == {"at": text, "numbers": [-10, 1.5, 8]}


def test_an_alias_is_a_copy_so_that_an_edit_changes_one_place() -> None:
    text = b"apiVersion: v1\nkind: D\nmetadata: {name: d, labels: &app {app: d}}\nspec: {selector: *app}\n"
    (changed,), _wrong = edited(
        parsed(text, "f"), [{"kind": "D", "name": "d", "merge": {"metadata": {"labels": {"x": "y"}}}}]
    )
    assert changed["metadata"]["labels"] == {"app": "d", "x": "y"}
    assert changed["spec"]["selector"] == {"app": "d"}


def test_lists_are_opened_and_empty_documents_are_none() -> None:
    text = b"---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: x}}\n"
    assert [each["kind"] for each in parsed(text, "f")] == ["A"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "holds no object"),
        (b"just words", "document 1: no Kubernetes object"),
        (b"kind: A\nmetadata: {name: x}", "lacks apiVersion or kind"),
        (b"apiVersion: v1\nkind: A\nmetadata: {}", "has no metadata.name"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: 12}", "has no metadata.name"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: a, labels: [b]}", "its labels are no mapping"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: 5}", "or its namespace no text"),
        (b"apiVersion: v1\nkind: [A]\nmetadata: {name: a}", "lacks apiVersion or kind"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: !!binary aGVsbG8=", "JSON has no such value"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: .nan", "JSON has no such value"),
        (b"apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: &a [*a]", "JSON has no such value"),
        (b"\xff\xfe\xfa", "is no YAML"),
        (b"  <HTML>", "a page of HTML"),
    ],
)
def test_what_is_no_manifest_is_told(text: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parsed(text, "the file")
