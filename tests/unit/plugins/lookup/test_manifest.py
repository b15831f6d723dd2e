# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of the user's holds the one object that it must, or one error names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.iter8.kfserving.plugins.lookup import manifest
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

SAMPLES = ROOT / "samples/quickstart"
CANARY = (SAMPLES / "canary.yaml").read_text()
EXPERIMENT = (SAMPLES / "experiment.yaml").read_text()
CASES = {
    "broken": ("a: [b\n", "is no YAML: "),
    "control": ("a: \x00\n", "is no YAML: "),
    "empty": ("---\n# nothing\n---\n", "holds nothing, where one InferenceService is needed"),
    "two": (f"{CANARY}\n---\n{EXPERIMENT}", "holds 2 objects, where one InferenceService is needed"),
    "list": ("- a\n", "holds no object"),
    "kind": (
        EXPERIMENT,
        "holds the kind Experiment of iter8.tools/v2alpha1, where an InferenceService of serving.",
    ),
    "group": (
        CANARY.replace("serving.kubeflow.org", "example.org"),
        "kind InferenceService of example.org/v1beta1",
    ),
    "nameless": (CANARY.replace("name: my-model", "labels: {}"), "has no metadata.name"),
    "name": (CANARY.replace("name: my-model", "name: My_model"), "has the metadata.name 'My_model'"),
    "number": (CANARY.replace("name: my-model", "name: 5"), "has the metadata.name 5"),
    "specless": (CANARY.split("spec:")[0], "has no spec"),
    "predictorless": (CANARY.replace("predictor:", "transformer:"), "has no spec.predictor"),
}


@pytest.mark.parametrize(("text", "words"), CASES.values(), ids=CASES)
def test_anything_else_is_one_error_that_names_the_file(text: str, words: str) -> None:
    with pytest.raises(AnsibleError) as raised:
        manifest.single(text, "/in/canary.yaml", "InferenceService")
    assert str(raised.value).startswith("/in/canary.yaml ")
    assert words in str(raised.value)
    assert str(raised.value).count("\n") == 0
    assert "Nothing was changed" in str(raised.value)


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}---\n", f"---\n---\n{CANARY}\n...\n---\n# end\n"])
def test_empty_documents_are_none(text: str) -> None:
    found = manifest.single(text, "canary.yaml", "InferenceService")
    assert found == yaml.safe_load(CANARY)


@pytest.mark.parametrize("api_version", ["serving.kubeflow.org/v1beta1", "serving.kserve.io/v1beta1"])
def test_either_group_of_kfserving_will_do(api_version: str) -> None:
    text = CANARY.replace("serving.kubeflow.org/v1beta1", api_version)
    assert manifest.single(text, "c", "InferenceService")["apiVersion"] == api_version


def test_files_are_read_as_the_user_names_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(SAMPLES)
    loader = DataLoader()
    for name in ("~/own.yaml", "experiment.yaml"):
        assert manifest.read(name, "Experiment", loader) == yaml.safe_load(EXPERIMENT)
    for path, words in (("nope.yaml", "nope.yaml does not exist"), (str(tmp_path), "does not exist")):
        with pytest.raises(AnsibleError, match=words):
            manifest.read(path, "Experiment", loader)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(AnsibleError, match="binary is no text in UTF-8"):
        manifest.read(str(tmp_path / "binary"), "Experiment", loader)
