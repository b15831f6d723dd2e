# SPDX-License-Identifier: GPL-3.0-or-later
"""A small real classifier and the JSON that carries its questions and answers: pure functions.

It stands in for the model that ``storageUri`` names. Its weights are drawn from that URI, so two versions of
a model give different scores for one image, and one version always gives the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import random
from collections.abc import Sequence
from typing import Any

CLASSES = 6
"""As many scores as upstream's flowers model gives."""

_BINS = 16
_HIGH_NIBBLE = bytes(value >> 4 for value in range(256))


class BadPredictionRequest(ValueError):
    """The request's body is not a prediction request; the message tells the client why (HTTP 400)."""


class Classifier:
    """Softmax over a linear map of the payload's histogram of high nibbles."""

    def __init__(self, storage_uri: str) -> None:
        generator = random.Random(storage_uri)
        self._weights = [[generator.gauss(0.0, 4.0) for _bin in range(_BINS)] for _class in range(CLASSES)]

    def scores(self, payload: bytes) -> list[float]:
        """Return one score for each class; they sum to 1. The payload must not be empty."""
        nibbles = payload.translate(_HIGH_NIBBLE)
        histogram = [nibbles.count(value) / len(nibbles) for value in range(_BINS)]
        logits = [sum(w * h for w, h in zip(row, histogram)) for row in self._weights]
        highest = max(logits)
        exponentials = [math.exp(logit - highest) for logit in logits]
        total = sum(exponentials)
        return [value / total for value in exponentials]


def predict(classifier: Classifier, body: bytes) -> dict[str, list[Any]]:
    """Answer the body of a ``:predict`` request.

    :returns: ``{"predictions": […]}``, one for each instance, in order: ``{"scores", "prediction", "key"}``
        for an image, as TensorFlow Serving's flowers; the number of the class for a row of numbers, as
        scikit-learn's iris.
    :raises BadPredictionRequest: the body is not what the V1 protocol and this model take.
    """
    predictions: list[Any] = []
    for number, instance in enumerate(_instances(body)):
        row = _row(instance, number)
        scores = classifier.scores(row or _image(instance, number))
        best = max(range(CLASSES), key=scores.__getitem__)
        if row:
            predictions.append(best)
        else:
            predictions.append({"scores": scores, "prediction": best, "key": instance.get("key", "")})
    return {"predictions": predictions}


def _instances(body: bytes) -> Sequence[Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadPredictionRequest(f"The body is not JSON: {error}") from None
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances:
        raise BadPredictionRequest('The body must be an object with "instances": a list that is not empty')
    return instances


def _row(instance: Any, number: int) -> bytes:
    """What is classified of a row of numbers; nothing of what is no row."""
    if not isinstance(instance, list):
        return b""
    if not instance or not all(type(each) in (int, float) for each in instance):
        raise BadPredictionRequest(f"Instance {number} is a list, but not of numbers")
    return json.dumps(instance).encode()


def _image(instance: Any, number: int) -> bytes:
    try:
        text = instance["image_bytes"]["b64"]
        image = base64.b64decode(text, validate=True)
    except (TypeError, KeyError):
        raise BadPredictionRequest(f'Instance {number} has no "image_bytes": {{"b64": …}}') from None
    except (binascii.Error, ValueError):
        raise BadPredictionRequest(f"Instance {number}: image_bytes is not base64") from None
    if not image:
        raise BadPredictionRequest(f"Instance {number}: image_bytes is empty")
    return image
