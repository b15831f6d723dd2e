# SPDX-License-Identifier: GPL-3.0-or-later
"""The two modules that judge and report, as Ansible runs them: arguments in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.doc_fragments import evidence, thresholds
from ansible_collections.iter8.kfserving.plugins.module_utils._report.arguments import THRESHOLDS
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.thresholds import Thresholds
from ansible_collections.iter8.kfserving.plugins.modules import rollout_report, rollout_verdict
from ansible_collections.iter8.kfserving.tests.support import rollouts, runs
from ansible_collections.iter8.kfserving.tests.support.ansible_core import module_arguments
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

BOTH = pytest.mark.parametrize("module", [rollout_verdict, rollout_report], ids=["verdict", "report"])


def compare(declared: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Options, types, defaults and choices are documented as they are declared, suboptions included."""
    assert set(declared) == set(told)
    for name, option in declared.items():
        for key in ("type", "default", "choices"):
            assert option.get(key) == told[name].get(key), (name, key)
        assert option.get("required", False) == told[name].get("required", False), name
        assert told[name]["description"], name
        compare(option.get("options", {}), told[name].get("suboptions", {}))


@BOTH
def test_the_documentation_is_true(module: ModuleType) -> None:
    document = yaml.safe_load(module.DOCUMENTATION)
    assert "iter8.kfserving.attributes" in document["extends_documentation_fragment"]
    options = dict(document["options"])
    for fragment in (evidence, thresholds):
        name = fragment.__name__.rpartition(".")[2]
        if f"iter8.kfserving.{name}" in document["extends_documentation_fragment"]:
            options |= yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"]
    compare(module.ARGUMENTS, options)
    name = f"iter8.kfserving.{document['module']}"
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task.get(name, {})) <= set(module.ARGUMENTS)
    assert name in module.EXAMPLES


def test_every_threshold_can_be_given_and_defaults_to_the_same() -> None:
    declared = {**THRESHOLDS, **rollout_verdict.ARGUMENTS}
    for field in fields(Thresholds):
        assert getattr(Thresholds(), field.name) == declared[field.name].get("default"), field.name
    assert set(THRESHOLDS) < {field.name for field in fields(Thresholds)}


def test_the_role_documents_the_same_thresholds_in_the_same_words() -> None:
    fragment = yaml.safe_load(thresholds.ModuleDocFragment.DOCUMENTATION)["options"]["thresholds"]
    fragment["options"] = fragment.pop("suboptions")
    specs = yaml.safe_load((ROOT / "roles/verify/meta/argument_specs.yml").read_text())["argument_specs"]
    with_thresholds = [entry for entry, spec in specs.items() if "verify_thresholds" in spec["options"]]
    assert with_thresholds == ["main", "check"]
    for entry in with_thresholds:
        assert specs[entry]["options"]["verify_thresholds"] == fragment, entry


def test_the_schema_has_the_same_thresholds_in_the_same_ranges() -> None:
    schema = json.loads((ROOT / "docs/schemas/verdict.schema.json").read_text())
    documented = schema["properties"]["thresholds"]
    names = {field.name for field in fields(Thresholds)}
    assert set(documented["properties"]) == set(documented["required"]) == names
    for name, row in documented["properties"].items():
        shape = schema["$defs"][row["$ref"].rpartition("/")[2]] if "$ref" in row else row
        # A percentile's limit has the range.
        wrap: Callable[[float], Any] = (lambda v: {99.0: v}) if name == "latency" else (lambda v: v)
        ranges = shape["additionalProperties"] if name == "latency" else shape
        for key, step in (("minimum", -1), ("maximum", 1)):
            if key in ranges:
                Thresholds(**{name: wrap(ranges[key])})
                with pytest.raises(ValueError, match=name):
                    Thresholds(**{name: wrap(ranges[key] + step)})
        allowed = shape.get("type", [])
        assert ("null" in allowed) is (getattr(Thresholds(), name) is None), name


def test_every_key_of_the_verdict_is_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(rollout_verdict, capsys, runs.store(rollouts.good(), tmp_path) | {"dest": None})
    told = yaml.safe_load(rollout_verdict.RETURN)["verdict"]["contains"]
    assert set(result["verdict"]) - {"schema"} == set(told)


def run(
    module: ModuleType, capsys: pytest.CaptureFixture[str], args: Mapping[str, Any], code: int = 0
) -> Any:
    """The module's result as Ansible would read it."""
    given = {key: value for key, value in args.items() if value is not None}
    with module_arguments(given), pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == code
    return json.loads(capsys.readouterr().out)


def test_the_verdict_is_returned_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = runs.store(rollouts.good(), tmp_path)
    result = run(rollout_verdict, capsys, {**params, "dest": str(tmp_path / "verdict.json")})
    assert result["changed"] is True
    assert result["verdict"]["verdict"] == "pass"
    assert json.loads((tmp_path / "verdict.json").read_text()) == result["verdict"]


@pytest.mark.parametrize("grade", ["fail", "inconclusive"])
def test_a_bad_verdict_does_not_fail_the_task(
    grade: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_ = rollouts.rolled_back() if grade == "fail" else runs.nothing()
    result = run(rollout_verdict, capsys, runs.store(run_, tmp_path) | {"dest": None})
    assert result["verdict"]["verdict"] == grade
    assert not result.get("failed")


def test_wrong_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = {"thresholds": {"max_lost": -1}}
    assert (
        run(rollout_verdict, capsys, args, 1)["msg"] == "thresholds: max_lost must not be below 0, it is -1."
    )
    args = {"load": str(tmp_path)}
    assert (
        run(rollout_verdict, capsys, args, 1)["msg"]
        == f"load: {tmp_path} is a folder. Give the path of the file."
    )
    args = {"dest": str(tmp_path / "none" / "verdict.json")}
    assert "cannot be written: No such file or directory." in run(rollout_verdict, capsys, args, 1)["msg"]


def test_the_report_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = runs.judged(runs.lossy(), tmp_path)
    result = run(rollout_report, capsys, {**params, "rerun": "make e2e"})
    assert result["changed"] is True
    assert (result["verdict"], result["summary"][:12]) == ("fail", "1800 request")
    assert all(Path(path).stat().st_size > 100 for path in result["files"].values())


def test_a_report_that_has_nowhere_to_go_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"dest": str(tmp_path / "none")}
    expected = f"dest: {tmp_path}/none is not a folder. Create it first, or name another."
    assert run(rollout_report, capsys, wrong, 1)["msg"] == expected
