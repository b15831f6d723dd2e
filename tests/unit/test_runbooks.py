# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbooks: each has its parts, and each of its commands can be given. Integration tests run them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.parsing.splitter import parse_kv
from ansible_collections.iter8.kfserving.plugins.module_utils._rollout import runbooks as table
from ansible_collections.iter8.kfserving.tests.support import runbooks
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from ansible_collections.iter8.kfserving.tests.support.runbooks import Block

PAGES = [path.stem for path in runbooks.pages()]
BLOCKS = [block for page in (runbooks.INDEX, *PAGES) for block in runbooks.blocks(page)]
COMMANDS = [*BLOCKS, *(block for page in (runbooks.INDEX, *PAGES) for block in runbooks.inline(page))]
PROGRAMS = {"ansible", "ansible-playbook", "kubectl", "jq", "export", "grep", "ls", "sort", "tail", "test"}
# Whatever a runbook does with kubectl; nothing is applied by hand.
VERBS = {"get", "describe", "logs", "patch", "delete"}
LAST = "It worked when"
# How many blocks no sandbox can run. One more is a decision.
NEED_A_CLUSTER = 1


def named(block: Block) -> str:
    return f"{block.page}-{COMMANDS.index(block)}"


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of every module that a runbook calls, as documented."""
    calls = {
        words[words.index("-m") + 1]
        for block in COMMANDS
        for words in block.commands()
        if words[0] == "ansible"
    }
    program = Path(sys.executable).with_name("ansible-doc")
    told = subprocess.run([program, "--json", *sorted(calls)], capture_output=True, check=True, cwd=ROOT)
    return {name: set(found["doc"]["options"]) for name, found in json.loads(told.stdout).items()}


@pytest.fixture(scope="module")
def variables() -> set[str]:
    """Everything that a role of the collection documents as a variable."""
    specs = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    return {
        name
        for spec in specs
        for entry in spec["argument_specs"].values()
        for name in entry.get("options", {})
    }


def test_there_is_a_page_for_each_thing_that_goes_wrong() -> None:
    assert {
        "roll-back-now", "verify-a-rollout-now", "requests-were-lost", "experiment-failed",
        "canary-never-ready", "rollout-is-stuck", "wait-does-not-end", "verdict-inconclusive",
        "load-generator", "teardown-hangs",
    } <= set(PAGES)  # fmt: skip
    listed = re.findall(
        r"^\| \[[^]]+\]\(([a-z-]+)\.md\)", (runbooks.FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_begins_with_the_command_and_ends_with_how_to_know(page: str) -> None:
    text = (runbooks.FOLDER / f"{page}.md").read_text()
    assert text.startswith("# ")
    first = text.split("\n\n")
    assert first[2].startswith("```sh"), "after the title and one paragraph comes the command"
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[-1] == LAST
    assert "```sh" in text.rpartition(f"## {LAST}")[2], "how to know is a command too"
    assert len(text.split()) < 700, "it is read at night"


@pytest.mark.parametrize("block", COMMANDS, ids=named)
def test_every_block_is_commands_that_bash_takes(block: Block) -> None:
    assert block.kind == "sh"
    read = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    for words in block.commands():
        assert words[0] in PROGRAMS, words
        if words[0] == "kubectl":
            assert words[1:3] == ["--context", "$CONTEXT"], "the current context is never used"
            assert VERBS & set(words[3:]), words
        for path in re.findall(r"(?<![\w/.$])(?:roles|playbooks|docs)/[\w./-]+", " ".join(words)):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("block", COMMANDS, ids=named)
def test_what_ansible_is_asked_exists(
    block: Block, options: dict[str, set[str]], variables: set[str]
) -> None:
    for words in block.commands():
        if words[0] == "ansible-playbook":
            given = parsed(PlaybookCLI(words), words)
            for playbook in given.args:
                assert (ROOT / "playbooks" / f"{playbook.removeprefix('iter8.kfserving.')}.yml").is_file(), (
                    playbook
                )
            asked = {name.partition("=")[0] for name in given.extra_vars}
            assert asked - variables == set()
        elif words[0] == "ansible":
            given = parsed(AdHocCLI(words), words)
            assert set(parse_kv(given.module_args)) - options[given.module_name] == set()


def parsed(cli: Any, words: list[str]) -> Any:
    """The options of the command line; an unknown one ends the test."""
    cli.init_parser()
    return cli.parser.parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_is_set_up_or_has_a_default_or_is_told(page: str) -> None:
    setup = set(
        re.findall(r"\b([A-Z_]+)=", "\n".join(block.text for block in runbooks.blocks(runbooks.INDEX)))
    )
    commands = "\n".join(block.text for block in runbooks.blocks(page))
    used = set(re.findall(r"\$([A-Z_]+)|\$\{([A-Z_]+)\}", commands))
    bare = {one or other for one, other in used} - {"PWD"}
    told = set(re.findall(r"`\$([A-Z_]+)`", runbooks.prose(page)))
    assert bare - setup - told == set()


def test_what_needs_a_real_cluster_is_counted_and_says_why() -> None:
    marked = [block for block in BLOCKS if block.reason]
    assert len(marked) == NEED_A_CLUSTER
    assert all(len(block.reason.split()) > 5 for block in marked)
    texts = "".join(path.read_text() for path in runbooks.FOLDER.glob("*.md"))
    assert texts.count("<!--") == len(marked), "every mark stands right before its block"


def test_every_page_of_the_table_is_there_and_names_what_leads_to_it() -> None:
    pages = {*table.OF_RULES.values(), table.TEARDOWN}
    pages |= {page for outcomes in table.OF_WAITS.values() for page in outcomes.values()}
    assert [page for page in sorted(pages) if not (ROOT / table.path(page)).is_file()] == []
    for rule, page in table.OF_RULES.items():
        assert f"`{rule}`" in runbooks.prose(page), f"{page} does not name {rule}"


def test_every_class_of_failure_is_told_whose_it_is() -> None:
    schema = json.loads((ROOT / "docs/schemas/load.schema.json").read_text())
    classes = schema["properties"]["LoadTest"].get("$defs", schema.get("$defs", {}))["class"]["enum"]
    text = runbooks.prose(table.LOST)
    assert [name for name in classes if f"`{name}`" not in text] == []
