# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to manifests before they are applied: images of a mirror, and settings of the stack."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .steps import Json

# An image within the JSON that KServe keeps in its ConfigMap.
_IN_JSON = re.compile(r'("[\w-]*[iI]mage"\s*:\s*")([^"]+)(")')
_TAG = re.compile(r"[:@]")


def renamed(image: str, names: Mapping[str, str]) -> str:
    """The image under the name that ``names`` gives it.

    A key is a whole image, a repository (tag or digest then stay), or a prefix that ends with ``/``; the
    longest that fits counts.
    """
    for key in sorted(names, key=len, reverse=True):
        rest = image[len(key) :]
        if image.startswith(key) and (not rest or key.endswith("/") or _TAG.match(rest)):
            return names[key] + rest
    return image


def with_images(objects: Iterable[Json], names: Mapping[str, str]) -> list[Json]:
    """The objects, their images renamed: in containers anywhere, in what is called an image in a ConfigMap,
    and in environment variables."""
    return [_replaced(each, names) for each in objects] if names else list(objects)


def _replaced(value: Any, names: Mapping[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        if value.get("kind") == "ConfigMap" and isinstance(value.get("data"), dict):
            data = {name: _in_data(name, each, names) for name, each in value["data"].items()}
            return {**value, "data": data}
        if "IMAGE" in str(value.get("name")) and isinstance(value.get("value"), str):
            return {**value, "value": renamed(value["value"], names)}
        return {name: _replaced(each, names, str(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, names) for each in value]
    return renamed(value, names) if key == "image" and isinstance(value, str) else value


def _in_data(name: str, value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    if name.lower().endswith("image"):
        return renamed(value, names)
    return _IN_JSON.sub(lambda found: found[1] + renamed(found[2], names) + found[3], value)


def images(objects: Iterable[Json]) -> list[str]:
    """The images that the objects' containers name, each once, sorted."""
    return sorted({image for each in objects for image in _images(each)})


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "image" and isinstance(each, str) and each:
                yield each
            else:
                yield from _images(each)
    elif isinstance(value, list):
        for each in value:
            yield from _images(each)


def edited(objects: Sequence[Json], edits: Sequence[Mapping[str, Any]]) -> tuple[list[Json], list[str]]:
    """The objects with the step's edits in them, and what is wrong with the edits, as sentences.

    An edit names a kind and a name. ``merge`` goes into the object, mapping by mapping; ``json`` likewise
    into the JSON texts of a ConfigMap's data, by key; null takes away what is there, as in RFC 7386. An edit
    that changes no object is wrong: upstream has renamed it.
    """
    changed = [copy.deepcopy(each) for each in objects] if edits else list(objects)
    problems = []
    for edit in edits:
        named = f"{edit['kind']} {edit['name']}"
        targets = [
            each
            for each in changed
            if (each["kind"], each["metadata"]["name"]) == (edit["kind"], edit["name"])
        ]
        if not targets:
            problems.append(f"The manifests hold no {named}, which is to be changed before it is applied.")
        for target in targets:
            _merge(target, edit.get("merge") or {})
            for key, inner in (edit.get("json") or {}).items():
                problem = _merge_json(target, str(key), inner)
                if problem:
                    problems.append(f"{named}: {problem}")
    return changed, problems


def _merge(target: Json, more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = copy.deepcopy(value)


def _merge_json(target: Json, key: str, more: Mapping[str, Any]) -> str:
    data = target.get("data") or {}
    if key not in data:
        return f"its data has no {key}."
    try:
        inner = json.loads(data[key])
    except ValueError as error:
        return f"its data.{key} is no JSON: {error}."
    if not isinstance(inner, dict):
        return f"its data.{key} is no JSON object."
    _merge(inner, more)
    data[key] = json.dumps(inner, indent=2)
    return ""
