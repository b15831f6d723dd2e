# Copyright: (c) 2026, the iter8.kfserving contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one object in each of a user's files, or one error that names the file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: manifest
author:
  - The iter8.kfserving contributors (@iter8-tools)
version_added: "1.0.0"
short_description: Read an InferenceService or an Experiment from a file, and refuse anything else
description:
  - Reads files that hold one object each, and fails, with the name of the file, for one that cannot be read,
    is no YAML, holds several objects, or holds one that is not as asked.
  - Empty documents, as after a trailing C(---), are none.
options:
  _terms:
    description: The files. A relative path is taken from the folder in which the command was given.
    type: list
    elements: path
    required: true
  kind:
    description: What each file must hold.
    type: str
    choices: [InferenceService, Experiment]
    required: true
"""

EXAMPLES = r"""
- name: Show the canary's model
  ansible.builtin.debug:
    msg: "{{ lookup('iter8.kfserving.manifest', 'canary.yaml', kind='InferenceService').spec.predictor }}"
"""

RETURN = r"""
_raw:
  description: The objects, in the order of their files.
  type: list
  elements: dict
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

# The groups that define each kind.
GROUPS = {
    "InferenceService": ("serving.kubeflow.org", "serving.kserve.io"),
    "Experiment": ("iter8.tools",),
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ADVICE = "Nothing was changed; name another file."


def single(text: str, path: str, kind: str) -> dict[str, Any]:
    """The object of this kind that the text of the file `path` holds; AnsibleError for anything else."""
    try:
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" in line {mark.line + 1}" if mark else ""
        raise AnsibleError(f"{path} is no YAML: {error.problem}{place}. {_ADVICE}") from None
    except yaml.YAMLError as error:
        raise AnsibleError(f"{path} is no YAML: {str(error).splitlines()[0]}. {_ADVICE}") from None
    if len(found) != 1:
        count = f"{len(found)} objects" if found else "nothing"
        raise AnsibleError(f"{path} holds {count}, where one {kind} is needed. {_ADVICE}")
    wrong = _wrong(found[0], kind)
    if wrong:
        raise AnsibleError(f"{path} {wrong}. {_ADVICE}")
    return dict(found[0])


def _wrong(obj: Any, kind: str) -> str:
    """What is wrong with an object, as the rest of a sentence about its file; empty for nothing."""
    if not isinstance(obj, Mapping):
        return f"holds no object, where an {kind} is needed"
    group, _slash, version = str(obj.get("apiVersion")).rpartition("/")
    if obj.get("kind") != kind or group not in GROUPS[kind]:
        shown = f"the kind {obj.get('kind')} of {obj.get('apiVersion')}"
        return f"holds {shown}, where an {kind} of {' or '.join(GROUPS[kind])} is needed"
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = "no metadata.name" if name is None else f"the metadata.name {name!r}"
        return f"has {shown}: it must be small letters, digits and dashes, and begin and end without a dash"
    spec = obj.get("spec")
    if not isinstance(spec, Mapping):
        return "has no spec"
    if kind == "InferenceService" and not isinstance(spec.get("predictor"), Mapping):
        return "has no spec.predictor"
    return ""


def read(name: str, kind: str, loader: Any) -> dict[str, Any]:
    """The object of this kind in the file that a user calls `name`; AnsibleError with its path otherwise.

    `loader` is Ansible's DataLoader, which opens vaults.
    """
    path = os.path.abspath(os.path.expanduser(name))
    if not os.path.isfile(path):
        raise AnsibleError(f"The file {path} does not exist. Nothing was changed; name one that does.")
    try:
        with open(loader.get_real_file(path, decrypt=True), encoding="utf-8") as file:
            return single(file.read(), path, kind)
    except UnicodeDecodeError:
        raise AnsibleError(f"{path} is no text in UTF-8. {_ADVICE}") from None
    except OSError as error:
        raise AnsibleError(f"{path} cannot be read: {error.strerror}. {_ADVICE}") from None


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        return [read(term, self.get_option("kind"), self._loader) for term in terms]
