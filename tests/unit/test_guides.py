# SPDX-License-Identifier: GPL-3.0-or-later
"""The guides say what the code does, their examples can be read, and what they link to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout.verdict import RULES
from ansible_collections.iter8.kfserving.tests.support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """The names of a page's headings, as forges and Sphinx make them."""
    text = FENCED.sub("", path.read_text())
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _hash, anchor = unquote(target).partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_rule_is_told_with_its_claim_and_in_order() -> None:
    text = (ROOT / "docs/guides/verdict.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE)
    assert rows == [(rule.name, rule.claim) for rule in RULES]


MODULES = {path.stem: path.read_text() for path in ROOT.glob("plugins/modules/*.py")}


def test_every_stack_is_on_its_page() -> None:
    stacks = yaml.safe_load((ROOT / "roles/platform/vars/main/stacks.yml").read_text())["platform_stacks"]
    rows = re.findall(r"^\| (`k[^|]*)", (ROOT / "docs/platform.md").read_text(), re.MULTILINE)
    told = re.findall(r"`(k[\w.-]+)`", "".join(rows))
    assert sorted(told) == sorted(name for name in stacks if not name.startswith("sandbox-"))


def test_every_module_is_in_the_readmes_table() -> None:
    table = (ROOT / "README.md").read_text().partition("## Modules\n")[2].partition("\n## ")[0]
    listed = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in row.split(", ")]
    assert sorted(listed) == sorted(f"`{name}`" for name in MODULES)


def test_every_module_that_takes_a_cluster_is_in_the_action_group() -> None:
    """So that module_defaults gives it the cluster, as the roles do."""
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["kfserving"]
    taking = [name for name, text in MODULES.items() if "- iter8.kfserving.cluster\n" in text]
    assert sorted(group) == sorted(taking)


def test_the_changelog_has_every_module_and_role_as_they_describe_themselves() -> None:
    releases = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]
    told = {name: each["description"] for one in releases.values() for name, each in entries(one)}
    text = (ROOT / "CHANGELOG.rst").read_text()
    for name, source in MODULES.items():
        said = re.search(r"^short_description: (.*)$", source, re.MULTILINE)
        assert said, name
        assert told[f"module {name}"] == said[1], name
        assert f"- iter8.kfserving.{name} - {said[1]}\n" in text, name
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        role = path.parent.parent.name
        short = yaml.safe_load(path.read_text())["argument_specs"]["main"]["short_description"]
        assert told[f"role {role}"] == short, role
        assert f"- iter8.kfserving.{role} - {short}\n" in text, role
    assert len(told) == len(MODULES) + len(list(ROOT.glob("roles/*/meta/argument_specs.yml")))


def entries(release: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The modules and roles that a release brought, by what they are and their names."""
    for kind, found in (("module", release["modules"]), ("role", release["objects"]["role"])):
        yield from ((f"{kind} {each['name']}", each) for each in found)


def test_the_site_has_every_page() -> None:
    """Each in one table of contents: `make docs` takes what is in none for an error."""
    index = (ROOT / "docs/site/index.md").read_text().splitlines()
    pages = {str(path.relative_to(ROOT / "docs").with_suffix("")) for path in ROOT.glob("docs/**/*.md")}
    listed = [line for line in index if line in pages]
    assert len(listed) == len(set(listed))
    # The site's index is itself, that of the guides is left out, runbooks are taken as they are.
    rest = pages - set(listed) - {"site/index", "guides/README"}
    assert {page for page in rest if not page.startswith("runbooks/")} == set()


def test_pages_of_the_site_link_to_what_the_site_has() -> None:
    """Beside each other they link to roles' pages, for which it has the reference, and to nothing else."""
    docs = ROOT / "docs"
    for page in docs.glob("**/*.md"):
        for target in LINK.findall(FENCED.sub("", page.read_text())):
            file = (page.parent / target.partition("#")[0]).resolve()
            if ":" not in target and docs not in file.parents:
                assert re.fullmatch(r"\.\./roles/[a-z]+/README\.md", target), f"{page.name}: {target}"
                assert page.parent == docs, page.name


def test_every_guide_is_in_the_index() -> None:
    folder = ROOT / "docs/guides"
    index = set(LINK.findall((folder / "README.md").read_text()))
    assert {path.name for path in folder.glob("*.md")} - {"README.md"} <= index


def examples() -> list[tuple[str, str]]:
    return [
        (named(page), text)
        for page in PAGES
        for kind, text in FENCED.findall(page.read_text())
        if kind == "yaml"
    ]


@pytest.mark.parametrize(("page", "text"), examples())
def test_an_example_is_yaml_whose_variables_and_playbooks_exist(page: str, text: str) -> None:
    assert yaml.safe_load(text), page
    documented = {
        name
        for path in ROOT.glob("roles/*/meta/argument_specs.yml")
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
        for name in entry.get("options", {})
    }
    given = set(re.findall(r"-e (\w+)=", text))
    given |= set(re.findall(r"^\s*-? ?((?:rollout|verify|iter8_kfserving)_\w+):", text, re.MULTILINE))
    assert given - documented == set(), page
    for name in re.findall(r"(?:ansible-playbook|import_playbook:) iter8\.kfserving\.(\w+)", text):
        assert (ROOT / f"playbooks/{name}.yml").is_file(), name
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z0-9-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
