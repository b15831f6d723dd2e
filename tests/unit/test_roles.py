# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role documents is what it does: its argument specs beside its defaults."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from ansible_collections.iter8.kfserving.plugins.module_utils._cluster.ownership.record import require_run_id
from ansible_collections.iter8.kfserving.tests.support.ansible_core import templates
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/tasks/main.yml"))
# What a role may use without its own name before it: the family that all fall back to, which preflight has.
FAMILY = "iter8_kfserving_"


def load(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, or that of all in the folder of its name; empty where there is neither."""
    files = [path] if path.exists() else sorted(path.with_suffix("").glob("*.yml"))
    return {name: value for file in files for name, value in (yaml.safe_load(file.read_text()) or {}).items()}


def entry_points(role: Path) -> dict[str, dict[str, Any]]:
    """The role's documented entry points, each with its options."""
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    return {name: spec.get("options", {}) for name, spec in specs.items()}


def has_words_only(default: Any) -> bool:
    return (isinstance(default, list) and default != []) or "{{" in str(default)


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_there_are_roles() -> None:
    names = {"sandbox", "preflight", "platform", "quickstart", "rollout", "verify", "teardown"}
    assert {role.name for role in ROLES} == names


def test_every_default_is_documented(role: Path) -> None:
    options = {name for options in entry_points(role).values() for name in options}
    assert sorted(set(load(role / "defaults/main.yml")) - options) == []


def test_documented_defaults_are_the_real_ones(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for entry, options in entry_points(role).items():
        documented = {name: option["default"] for name, option in options.items() if "default" in option}
        assert documented == {name: defaults.get(name) for name in documented}, entry
        # Lists of steps, files inside the collection and what the family gives are told in words.
        optional = {name for name, option in options.items() if not option.get("required")}
        short = {name for name in optional & set(defaults) if not has_words_only(defaults[name])}
        assert sorted(short - set(documented)) == [], entry


def test_an_option_is_required_or_has_a_default(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for entry, options in entry_points(role).items():
        for name, option in options.items():
            assert option.get("required", False) or name in defaults, f"{entry}: {name} is unset by default"
            assert not (option.get("required") and "default" in option), f"{entry}: {name}"


def test_variables_begin_with_the_role(role: Path) -> None:
    names = {name for options in entry_points(role).values() for name in options}
    names |= {*load(role / "defaults/main.yml"), *load(role / "vars/main.yml")}
    allowed = (f"{role.name}_", *([FAMILY] if role.name == "preflight" else []))
    assert [name for name in sorted(names) if not name.startswith(allowed)] == []


def test_what_names_a_cluster_or_a_run_falls_back_to_the_family(role: Path) -> None:
    defaults = load(role / "defaults/main.yml")
    for word in ("kubeconfig", "context", "run_id", "record", "artifacts"):
        name = f"{role.name}_{word}"
        if any(name in options for options in entry_points(role).values()):
            assert f"{FAMILY}{word}" in str(defaults[name]), name


def test_nothing_outside_the_collections_content_is_used() -> None:
    """Collections must work from what is installed: no file beside plugins, roles and playbooks."""
    texts = (*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/**/*.yml"))
    found = [str(path) for path in texts if re.search(r"samples/|playbook_dir|\.\./", path.read_text())]
    assert found == []


@pytest.mark.parametrize(("samples", "files"), [("quickstart", "files"), ("kserve", "files/kserve")])
def test_the_samples_are_what_the_roles_use(samples: str, files: str) -> None:
    ours = {path.name: path.read_bytes() for path in (ROOT / "samples" / samples).iterdir()}
    theirs = {
        path.name: path.read_bytes()
        for role in ("quickstart", "rollout")
        for path in (ROOT / "roles" / role / files).iterdir()
        if path.is_file()
    }
    assert ours == theirs


def test_tasks_are_seen_before_they_run() -> None:
    """What is imported shows in --list-tasks and can be started at; what is included does neither.

    What a user names, or what runs once for each step that a user names, is known only when it is read.
    """
    read_late = r'include_tasks: ("\{\{ rollout_(change_tasks|hooks)[ .]|drive_step\.yml)'
    for path in (*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")):
        own = re.sub(read_late, "", path.read_text())
        assert not re.search(r"include_(role|tasks):", own), path


def test_what_drives_has_the_time_for_the_way_back() -> None:
    """That begins at the rollout's deadline at the latest, and the module takes it into account by itself."""
    tasks = (ROOT / "roles/rollout/tasks/drive_step.yml").read_text()
    assert "deadline: " in tasks
    assert "timeout: " not in tasks.replace("ready_timeout: ", "")


def test_a_rollout_of_a_list_is_checked_as_one_alone_is() -> None:
    plays = {
        name: yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text()) for name in ("rollout", "rollouts")
    }
    (alone,) = plays["rollout"]
    checked = next(play for play in plays["rollouts"] if "preflight_files" in play.get("vars", {}))
    assert {**alone["vars"], "preflight_artifacts": "{{ rollout_artifacts }}"} == checked["vars"]


def test_only_the_playbook_that_deploys_says_how_to_do_it_again() -> None:
    """Whoever rolls out a model of their own must not be told to install a platform beside it."""
    assert load(ROOT / "roles/verify/defaults/main.yml")["verify_rerun"] == ""
    telling = [path.stem for path in ROOT.glob("playbooks/*.yml") if "verify_rerun" in path.read_text()]
    assert telling == ["e2e"]


def _hooks(name: str, tasks: list[dict[str, Any]] | None = None) -> Iterator[str]:
    """The moments whose files a file of tasks includes, and the calls of the driver, in order."""
    given = yaml.safe_load((ROOT / "roles/rollout/tasks" / name).read_text()) if tasks is None else tasks
    for task in given:
        included = str(task.get("ansible.builtin.include_tasks", ""))
        if "rollout_hooks." in included:
            moment = re.findall(r"rollout_hooks\.(\w+)", included)[0]
            assert f"rollout_hooks.{moment} is defined" in task["when"]
            yield moment
        elif included:
            yield from _hooks(included)
        elif "block" in task:
            yield from _hooks(name, task["block"])
        elif "iter8.kfserving.progressive_rollout" in task:
            yield "drive"


def test_hooks_are_included_at_their_moments() -> None:
    found = list(_hooks("drive_progressive.yml"))
    assert found == ["before", "before_step", "drive", "pause", "drive", "after_step", "rollback", "success"]
    inputs = yaml.safe_load((ROOT / "roles/rollout/tasks/inputs.yml").read_text())
    (moments,) = [
        task["vars"]["rollout_moments"] for task in inputs if "rollout_moments" in task.get("vars", {})
    ]
    assert set(found) - {"drive"} == set(moments)


def test_conditions_take_what_the_command_line_gives_for_true_and_false(role: Path) -> None:
    """`-e NAME=false` is a text, of which Ansible makes no condition."""
    told = [option for each in entry_points(role).values() for option in each.items()]
    options = {name for name, option in told if option["type"] == "bool"}
    found = []
    for path in (role / "tasks").glob("*.yml"):
        conditions = re.findall(r"(?:when|that): (.*)", path.read_text())
        found += [c for c in conditions for name in options if re.search(rf"\b{name}\b(?! \| bool)", c)]
    assert found == []


def test_no_shell_and_no_line_editor() -> None:
    forbidden = r"builtin\.(shell|command|raw|lineinfile|blockinfile):"
    for path in (*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")):
        assert not re.search(forbidden, path.read_text()), path


def test_entry_points_are_task_files(role: Path) -> None:
    """Whatever the playbooks import from outside is documented, and nothing else is."""
    entries = set(entry_points(role))
    assert {f"{entry}.yml" for entry in entries} <= {path.name for path in (role / "tasks").glob("*.yml")}
    texts = [path.read_text() for path in ROOT.glob("playbooks/**/*.yml")]
    imported = {
        found
        for text in texts
        for found in re.findall(rf"name: iter8\.kfserving\.{role.name}\n +tasks_from: (\w+)", text)
    }
    assert imported - entries == set()


def test_the_readme_sets_what_is_needed(role: Path) -> None:
    text = (role / "README.md").read_text()
    example = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])[0]
    options = entry_points(role)["main"]
    given = set(example["vars"])
    call = "import_role" if role.name == "preflight" else "include_role"
    assert example[f"ansible.builtin.{call}"]["name"] == f"iter8.kfserving.{role.name}"
    defaults = load(role / "defaults/main.yml")
    # What falls back to the family and to nothing else has to be given.
    needed = {
        f"{FAMILY}{word}"
        for word in ("kubeconfig", "context", "run_id", "record")
        for name in set(options) & {f"{role.name}_{word}"}
        if "default(" not in str(defaults[name])
    }
    assert needed <= given
    assert {name for name in given if not name.startswith(FAMILY)} <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= given


@contextmanager
def plugins_found() -> Iterator[None]:
    """Ansible's own way of finding plugins, for templates that call one; gone again afterwards.

    While it is there it finds every module of a collection, too, and fails at one whose package was imported
    before: what another test imports late would depend on which test came first.
    """
    if AnsibleCollectionConfig.collection_finder:
        yield
        return
    init_plugin_loader([])
    try:
        yield
    finally:
        _AnsibleCollectionFinder._remove()


def rendered(name: str, of: str = "preflight", **variables: Any) -> Any:
    """A variable of the family, as a playbook that imports preflight has it; or of another role."""
    role = ROOT / "roles" / of
    family = {
        **templates(role / "defaults/main.yml"),
        **templates(role / "vars/main.yml"),
        "ansible_check_mode": False,
        **variables,
    }
    with plugins_found():
        return Templar(DataLoader(), variables=family).template(family[name])


def test_rendering_leaves_the_finders_of_modules_as_they_were() -> None:
    before = [*sys.meta_path], [*sys.path_hooks]
    rendered("iter8_kfserving_run_name")
    assert ([*sys.meta_path], [*sys.path_hooks]) == before


CONTEXTS = [
    "arn:aws:eks:eu-west-1:123456789012:cluster/some-very-long-name-that-goes-on-and-on-and-on-for-long",
    "gke_my-project-123456_europe-west1-b_a-cluster-with-quite-a-long-name-0123456789-0123456789",
    "kubernetes-admin@kubernetes",
    "---",
    "ü/ñ",
    "x",
    "a" * 300,
]


@pytest.mark.parametrize("context", CONTEXTS)
def test_whatever_a_context_is_called_its_run_has_names_that_fit(context: str, tmp_path: Path) -> None:
    cluster = {"iter8_kfserving_kubeconfig": "/k", "iter8_kfserving_context": context}
    name = rendered("iter8_kfserving_run_name", **cluster)
    state = {"iter8_kfserving_state": str(tmp_path)}
    run_id = rendered("iter8_kfserving_run_id", **cluster, **state)
    assert run_id.startswith(name)
    # A label's value, a load's name, and a file's.
    require_run_id(run_id)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name)
    assert Path(rendered("iter8_kfserving_record", **cluster, **state)).parent == tmp_path / "runs"


def test_a_record_below_the_home_tells_which_run_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a vars file names it, where no shell writes the home out."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.json").write_text('{"run_id": "as-it-was"}')
    assert rendered("iter8_kfserving_run_id", iter8_kfserving_record="~/mine.json") == "as-it-was"
    of_list = {"rollout_list_own_record": "~/mine.json", "rollout_list_run": "r", "rollout_list_number": 0}
    item = {"rollout_list_item": {"name": "a"}, "rollout_list_artifacts": "/a"}
    assert rendered("rollout_list_own", "rollout", **of_list, **item)["rollout_run_id"] == "as-it-was"


def test_contexts_that_look_alike_have_runs_of_their_own() -> None:
    long = ["arn:aws:eks:eu-west-1:1:cluster/models", "arn:aws:eks:eu-west-2:1:cluster/models", "a/b", "a:b"]
    names = {
        rendered("iter8_kfserving_run_name", iter8_kfserving_kubeconfig="/k", iter8_kfserving_context=context)
        for context in long
    }
    assert len(names) == 4
    assert sum("cluster-models-" in name for name in names) == 2


def test_a_context_that_is_called_as_the_sandboxs_is_a_cluster_beside_a_kubeconfig() -> None:
    assert rendered("iter8_kfserving_on_sandbox")
    named = {"iter8_kfserving_kubeconfig": "/k", "iter8_kfserving_context": "sandbox-e2e"}
    assert not rendered("iter8_kfserving_on_sandbox", **named)
    assert rendered("preflight_names_context", **named)
    assert rendered("iter8_kfserving_run_name", **named) != rendered("iter8_kfserving_run_name")
    half = {"iter8_kfserving_kubeconfig": "/k"}
    assert not rendered("preflight_names_context", **half), "a kubeconfig alone names no context"
    assert not rendered("iter8_kfserving_on_sandbox", **half)
    assert rendered("preflight_names_context", iter8_kfserving_context="prod")


@pytest.mark.parametrize(
    ("given", "url", "headers"),
    [
        ({}, "https://192.0.2.1:443/v1/models/m:predict", {"Content-Type": "application/json"}),
        ({"rollout_load_protocol": "grpc"}, "grpcs://192.0.2.1:443/v2/models/m", {}),
        ({"rollout_load_protocol": "grpc", "rollout_load_grpc_method": "a.B/C"}, "grpcs://192.0.2.1:443", {}),
        ({"rollout_load_url": "grpc://h:1/v2/models/n"}, None, {}),
    ],
)
def test_a_rollout_over_grpc_goes_to_the_gateway_that_was_found(
    given: dict[str, str], url: str | None, headers: dict[str, str]
) -> None:
    found = {"url": "https://192.0.2.1:443/v1/models/m:predict", "gateway_url": "https://192.0.2.1:443"}
    variables = {"rollout_ingress": found, "rollout_name": "m", **given}
    protocol = rendered("rollout_load_protocol", "rollout", **variables)
    assert protocol == ("grpc" if given else "http")
    if url is not None:
        assert rendered("rollout_url_of", "rollout", **variables)[protocol] == url
    assert rendered("rollout_http_headers", "rollout", **variables) == headers


def refused(tasks: str, name: str, folder: Path, **variables: Any) -> str:
    """What an assertion of the role rollout says; empty where it holds."""
    (task,) = [
        t for t in yaml.safe_load((ROOT / "roles/rollout/tasks" / tasks).read_text()) if t["name"] == name
    ]
    asked = task["ansible.builtin.assert"]
    told = {**task.get("vars", {}), "holds": f"{{{{ {asked['that']} }}}}", "says": asked["fail_msg"]}
    (folder / "told.yml").write_text(yaml.safe_dump(told))
    with plugins_found():
        templar = Templar(DataLoader(), variables={**templates(folder / "told.yml"), **variables})
        return (
            ""
            if templar.template(templar.available_variables["holds"])
            else str(templar.template(templar.available_variables["says"]))
        )


def test_an_experiment_that_is_there_already_is_refused_before_the_canary_is_applied(tmp_path: Path) -> None:
    """The same file again: iter8 would not run it, and its old end would be taken for the new one's."""
    name = "Refuse an Experiment that is there already"
    variables = {
        "rollout_namespace": "team-b",
        "rollout_context": "prod",
        "rollout_experiment_file": "/work/good-b.json",
        "rollout_experiment": {"metadata": {"name": "good-b"}},
    }
    done = {"metadata": {"name": "good-b", "creationTimestamp": "2027-03-02T11:40:07Z"}}
    for earlier in ({"resources": []}, {}):
        assert refused("check_iter8.yml", name, tmp_path, rollout_earlier=earlier, **variables) == ""
    said = refused("check_iter8.yml", name, tmp_path, rollout_earlier={"resources": [done]}, **variables)
    assert (
        "Experiment team-b/good-b of /work/good-b.json is there already, since 2027-03-02T11:40:07Z" in said
    )
    assert "Nothing was changed" in said
    assert said.endswith("kubectl --context prod -n team-b delete experiment good-b.")
    main = (ROOT / "roles/rollout/tasks/main.yml").read_text()
    assert 0 < main.index("import_tasks: check.yml") < main.index("import_tasks: run.yml")
    assert "import_tasks: check_iter8.yml" in (ROOT / "roles/rollout/tasks/check.yml").read_text()


def test_a_rollout_begins_from_what_serves_and_not_from_what_is_ready(tmp_path: Path) -> None:
    """After a canary that was rolled back the latest ready revision has no traffic at all."""
    name = "Refuse a model that is being rolled out already"
    found = {
        "revisions": {"created": "m-00002", "ready": "m-00002", "serving": "m-00001"},
        "message": "Seen.",
    }
    for traffic, words in (
        ({"m-00001": 100}, ""),
        ({"m-00001": 95, "m-00002": 5}, "No revision alone has the traffic"),
        ({"m-00002": 100}, "No revision alone has the traffic"),
    ):
        known = {"rollout_baseline": {**found, "traffic": traffic}, "rollout_driver": "observe"}
        assert refused("baseline.yml", name, tmp_path, **known).startswith(words)
        assert bool(words) == bool(refused("baseline.yml", name, tmp_path, **known))
        # It may be its own, which it goes on with; the driver refuses all others (test_refusals.py).
        assert refused("baseline.yml", name, tmp_path, **{**known, "rollout_driver": "progressive"}) == ""
    texts = [path.read_text() for path in (ROOT / "roles/rollout").rglob("*.yml")]
    assert not any("baseline.revisions.ready" in text for text in texts)


def test_names_that_are_not_the_baselines_are_refused_but_where_its_rollout_goes_on(tmp_path: Path) -> None:
    """Whoever goes on with a split hears both versions from the beginning."""
    name = "Refuse names that are not the baseline's"
    known = {
        "rollout_baseline": {"revisions": {"serving": "m-00001"}},
        "rollout_generators": [],
        "rollout_pods": False,
        "rollout_before": {"progress": {"requests": 9, "failed": 1, "revisions": {"v1": {}, "v2": {}}}},
        "rollout_revision_learned": True,
        "rollout_revision_header": "X-Version",
        "rollout_revision_field": "",
        "rollout_revision_probe": "",
    }
    said = refused("names.yml", name, tmp_path, **known)
    assert said.startswith("8 requests were answered, and the header X-Version names v1, v2, never m-00001")
    assert refused("names.yml", name, tmp_path, **known, rollout_foretold={"under_way": False}) == said
    assert refused("names.yml", name, tmp_path, **known, rollout_foretold={"under_way": True}) == ""


def test_what_fails_in_a_loop_is_told_in_its_own_words() -> None:
    """And not as Ansible sums it up, which names no reason."""
    items = [{"failed": False}, {"failed": True, "msg": "No file."}, {"failed": True, "msg": "No file."}]
    loop = {"failed": True, "msg": "One or more items failed", "results": items}
    assert rendered("verify_stopped_by", "verify", ansible_failed_result=loop) == "No file."
    assert rendered("verify_stopped_by", "verify", ansible_failed_result=items[1]) == "No file."


def test_what_could_not_be_kept_of_the_evidence_is_told() -> None:
    """Each step is tried, whatever became of those before it, and none that was skipped counts."""
    whole = {"failed": False}
    bad = {
        "failed": True,
        "msg": "One or more items failed",
        "results": [whole, {"failed": True, "msg": "No room."}],
    }
    kept = {
        "rollout_load": {"failed": True, "msg": "No load."},
        "rollout_merged": {"skipped": True},
        "rollout_load_ended": whole,
        "rollout_observed_until": {"changed": True},
        "rollout_states_kept": bad,
        "rollout_pods_removed": {"skipped": True},
    }
    assert rendered("rollout_unkept", "rollout", **kept) == ["No load.", "No room."]
    good = {name: whole for name in kept}
    assert rendered("rollout_unkept", "rollout", **good) == []
    assert rendered("rollout_unkept", "rollout") == []
