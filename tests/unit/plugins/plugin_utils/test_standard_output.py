# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a line can be written is told before it is written, for every kind of output."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
from collections import namedtuple
from pathlib import Path

import pytest
from ansible_collections.iter8.kfserving.plugins.plugin_utils import standard_output
from ansible_collections.iter8.kfserving.plugins.plugin_utils.standard_output import takes_lines


def test_a_pipe_takes_lines_while_it_has_a_reader() -> None:
    reader, writer = os.pipe()
    try:
        assert takes_lines(writer)
        os.close(reader)
        assert not takes_lines(writer)
        with pytest.raises(BrokenPipeError):
            os.write(writer, b"x")
    finally:
        os.close(writer)


def test_a_full_pipe_with_a_reader_that_pauses_still_takes_lines() -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, b"x" * 4096):
                pass
        assert takes_lines(writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_socket_takes_lines_while_there_is_another_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        assert takes_lines(ours.fileno())
        theirs.close()
        assert not takes_lines(ours.fileno())


def test_a_terminal_takes_lines_until_it_is_closed() -> None:
    master, slave = pty.openpty()
    try:
        assert takes_lines(slave)
        os.close(master)
        assert not takes_lines(slave)
    finally:
        os.close(slave)


def test_a_device_that_is_full_takes_none() -> None:
    for device, takes in (("/dev/full", False), ("/dev/null", True)):
        with open(device, "wb", buffering=0) as file:
            assert takes_lines(file.fileno()) is takes


def test_a_file_takes_lines_while_its_disk_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = namedtuple("room", "f_bavail f_frsize")
    with (tmp_path / "out").open("wb") as file:
        assert takes_lines(file.fileno())
        monkeypatch.setattr(standard_output.os, "fstatvfs", lambda _descriptor: room(1, 4096))
        assert not takes_lines(file.fileno())


def test_nothing_is_written_by_asking(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        takes_lines(writer)
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_descriptor_that_is_closed_takes_none_and_one_that_is_unknown_does() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    assert not takes_lines(writer)
    assert takes_lines(None)
