# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a test fail when a rule of the verdict is gone? Mutations of `_rollout`, each against its unit tests.

First every rule is removed in turn, every finding against a pass is turned into one for it, and each
contradiction is left out: each of these must fail a test. Then mutmut changes the rules' code in every way it
knows, and the share that is noticed is told.

usage: run.py [--no-mutmut] [--all]
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[2]
# A copy for each that works on one: the first is mutmut's, too.
TREES = [ROOT / f"build/mutation/{number}" for number in range(os.cpu_count() or 1)]
TREE = TREES[0]
INSIDE = Path("ansible_collections/iter8/kfserving")
MODULE_UTILS = Path("plugins/module_utils")
ROLLOUT = MODULE_UTILS / "_rollout"
SUPPORT = Path("tests/support")
SCHEMAS = Path("docs/schemas")
TESTS = Path("tests/unit/plugins/module_utils/_rollout")
# Where what the rules decide is tested: most changes are noticed there, and soon.
DECIDED = [
    INSIDE / TESTS / name
    for name in (
        "rules",
        "test_verdict.py",
        "test_cases.py",
        "test_thresholds.py",
        "evidence/test_gateway.py",
    )
]
AGAINST = {"failed", "unproven"}

# mutmut names a mutant by its path, which must be the name under which the tests import it: so it runs in a
# tree in which the collection lies as it does among Ansible's.
SETTINGS = f"""
[tool.mutmut]
source_paths = ["{INSIDE / ROLLOUT}"]
only_mutate = [{{only}}]
also_copy = ["{INSIDE / "tests"}"]
pytest_add_cli_args_test_selection = ["{INSIDE / TESTS}"]
use_git_change_detection = false

[tool.pytest.ini_options]
addopts = "--import-mode=importlib -p no:cacheprovider"
"""


@dataclass(frozen=True)
class Change:
    """One change of one file: what it is, the file within a tree, and its text with it."""

    what: str
    file: Path
    text: str


def copy(tree: Path, everything: bool) -> None:
    """A fresh tree with the code and its tests, and mutmut's settings."""
    shutil.rmtree(tree, ignore_errors=True)
    # The tests make what they judge by the code of other rooms: records of an observer and a load, a report.
    for part in (MODULE_UTILS, TESTS, SUPPORT, SCHEMAS):
        shutil.copytree(ROOT / part, tree / INSIDE / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "tests/conftest.py", tree / INSIDE / "tests/conftest.py")
    only = "*.py" if everything else "*/rules/*.py"
    (tree / "pyproject.toml").write_text(SETTINGS.format(only=f'"{only}"'))


def changes() -> Iterator[Change]:
    """Rules taken away, findings against a pass turned into such for it, contradictions left out."""
    rollout = ROOT / ROLLOUT
    for path in [*sorted(rollout.glob("rules/*.py")), rollout / "same_objects.py"]:
        text, file = path.read_text(), INSIDE / path.relative_to(ROOT)
        nodes = list(ast.walk(ast.parse(text)))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        for call in calls:
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if name == "Rule" and isinstance(call.args[0], ast.Constant):
                yield Change(f"without the rule {call.args[0].value}", file, replaced(text, call, "*()"))
        for call in calls:
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if name in AGAINST:
                where = f"{file.name}:{call.lineno}"
                yield Change(f"{name} is passed at {where}", file, replaced(text, call.func, "passed"))
        for said in (node for node in nodes if isinstance(node, (ast.Yield, ast.YieldFrom))):
            where = f"{file.name}:{said.lineno}"
            yield Change(f"nothing is said at {where}", file, replaced(text, said, "yield from ()"))


def replaced(text: str, node: ast.expr, by: str) -> str:
    """The text with this expression replaced."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    return (before + by.encode() + after).decode()


def failure(tree: Path, tests: Iterable[Path]) -> str:
    """What pytest says of one of these tests that fails in this tree; empty where none does."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", *map(str, tests)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    # A mutant that cannot be imported was noticed by nobody.
    if done.returncode not in (0, 1) or "ERROR collecting" in done.stdout:
        sys.exit(f"mutation: pytest could not run:\n{done.stdout}{done.stderr}")
    return done.stdout if done.returncode else ""


def notices(tree: Path, file: Path) -> bool:
    """Whether a test fails with this file changed: the file's own ones are asked first, which takes less."""
    folder = tree / INSIDE / TESTS / file.relative_to(INSIDE / ROLLOUT).parent
    own = sorted(folder.glob(f"test_{file.stem}*.py"))
    return any(failure(tree, tests) for tests in (own, DECIDED) if tests)


def survivors() -> tuple[int, list[str]]:
    """How many changes were made, and those that no test noticed."""
    if said := failure(TREE, DECIDED):
        sys.exit(f"mutation: the tests fail without any change; mend that first:\n{said}")
    free: Queue[Path] = Queue()
    for tree in TREES:
        free.put(tree)

    def seen(change: Change) -> bool:
        tree = free.get()
        before = (tree / change.file).read_text()
        (tree / change.file).write_text(change.text)
        try:
            return notices(tree, change.file)
        finally:
            (tree / change.file).write_text(before)
            free.put(tree)

    made = list(changes())
    left = []
    workers = ThreadPoolExecutor(len(TREES))
    try:
        for number, (change, noticed) in enumerate(zip(made, workers.map(seen, made)), 1):
            said = "noticed " if noticed else "SURVIVED"
            print(f"mutation: {number} of {len(made)}: {said}  {change.what}", flush=True)
            if not noticed:
                left.append(change.what)
    finally:
        workers.shutdown(cancel_futures=True)
    return len(made), left


def mutmut() -> str:
    """Let mutmut loose, and return its score in words."""
    tool = str(Path(sys.executable).with_name("mutmut"))
    environment = {**os.environ, "PYTHONPATH": str(TREE)}
    with open(TREE / "mutmut.log", "w", encoding="utf-8") as log:
        subprocess.run([tool, "run"], cwd=TREE, env=environment, stdout=log, stderr=log, check=False)
        subprocess.run([tool, "export-cicd-stats"], cwd=TREE, stdout=log, stderr=log, check=False)
    found = TREE / "mutants/mutmut-cicd-stats.json"
    if not found.exists():
        sys.exit(f"mutation: mutmut could not run; see {TREE}/mutmut.log")
    stats = json.loads(found.read_text())
    tried = stats["total"] - stats.get("skipped", 0)
    share = stats["killed"] / tried if tried else 0.0
    score = f"{stats['killed']} of {tried} mutants were noticed ({share:.1%})"
    return f"mutmut: {score}; '{tool} results' in {TREE} lists the others"


def main() -> int:
    """0 if no removal of a rule survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--no-mutmut", action="store_true", help="only take rules and findings away")
    parser.add_argument("--all", action="store_true", help="let mutmut change all of _rollout (takes long)")
    options = parser.parse_args()
    for tree in TREES:
        copy(tree, options.all)
    made, left = survivors()
    if not options.no_mutmut:
        print(f"mutation: {mutmut()}")
    print(f"mutation: {made - len(left)} of {made} removals of a rule or a finding were noticed")
    for what in left:
        print(f"mutation: no test noticed: {what}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
