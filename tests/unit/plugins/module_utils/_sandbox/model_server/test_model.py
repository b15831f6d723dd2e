# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.iter8.kfserving.plugins.module_utils._sandbox.model_server import model
from hypothesis import given
from hypothesis import strategies as st

ONE = model.Classifier("gs://models/one")


def body(*images: bytes, **extra: Any) -> bytes:
    instances = [{"image_bytes": {"b64": base64.b64encode(image).decode()}, **extra} for image in images]
    return json.dumps({"instances": instances}).encode()


@given(st.binary(min_size=1, max_size=4096))
def test_scores_are_a_distribution(payload: bytes) -> None:
    scores = ONE.scores(payload)
    assert len(scores) == model.CLASSES
    assert sum(scores) == pytest.approx(1.0)
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_same_model_same_scores_other_version_others() -> None:
    payload = bytes(range(256))
    assert ONE.scores(payload) == model.Classifier("gs://models/one").scores(payload)
    assert ONE.scores(payload) != model.Classifier("gs://models/two").scores(payload)


def test_scores_depend_on_the_payload_but_not_on_its_order_or_length() -> None:
    assert ONE.scores(b"\x00\xf0") != ONE.scores(b"\x00\x70")
    assert ONE.scores(b"\x00\xf0" * 50) == pytest.approx(ONE.scores(b"\xf0\x00"))


def test_each_instance_is_answered_in_order_with_its_key() -> None:
    answer = model.predict(ONE, body(b"\x00", b"\xff", key="7"))["predictions"]
    assert [entry["key"] for entry in answer] == ["7", "7"]
    assert answer[0]["scores"] == ONE.scores(b"\x00")
    assert answer[1]["scores"] == ONE.scores(b"\xff")
    for entry in answer:
        assert entry["scores"][entry["prediction"]] == max(entry["scores"])


def test_rows_of_numbers_get_the_number_of_their_class() -> None:
    rows = json.dumps({"instances": [[6.8, 2.8, 4.8, 1.4], [0], [6.8, 2.8, 4.8, 1.4]]}).encode()
    first, second, third = model.predict(ONE, rows)["predictions"]
    assert first == third
    assert {type(first), type(second)} == {int}
    assert all(0 <= each < model.CLASSES for each in (first, second))


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (b"", "not JSON"),
        (b'{"instances": [', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", '"instances"'),
        (b"{}", '"instances"'),
        (b'{"instances": {}}', '"instances"'),
        (b'{"instances": []}', '"instances"'),
        (b'{"instances": [1]}', "Instance 0"),
        (b'{"instances": [[]]}', "Instance 0 is a list, but not of numbers"),
        (b'{"instances": [[1, true]]}', "Instance 0 is a list, but not of numbers"),
        (b'{"instances": [{"image_bytes": "eA=="}]}', "Instance 0"),
        (b'{"instances": [{"image_bytes": {"b64": 1}}]}', "Instance 0"),
        (b'{"instances": [{"image_bytes": {"b64": "x"}}]}', "not base64"),
        (b'{"instances": [{"image_bytes": {"b64": "\xc3\xa9\xc3\xa9"}}]}', "not base64"),
        (b'{"instances": [{"image_bytes": {"b64": ""}}]}', "is empty"),
    ],
)
def test_bad_bodies_are_named(request_body: bytes, message: str) -> None:
    with pytest.raises(model.BadPredictionRequest, match=message):
        model.predict(ONE, request_body)


@given(st.binary(max_size=64) | st.text().map(str.encode))
def test_no_body_breaks_it(request_body: bytes) -> None:
    with pytest.raises(model.BadPredictionRequest):
        model.predict(ONE, request_body)
