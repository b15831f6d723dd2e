# Every target does its own set-up and ends with a line that says what it did.
# Needs: Linux, make, Python 3.10 or newer with its venv module.

PYTHON    ?= python3
ARTIFACTS ?= build/e2e
FAULT     ?=
PLATFORM  ?= kfserving
SANDBOX   ?= explore
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
ANSIBLE_ARGS ?=
CAMPAIGN_ARGS ?=
KILLS_ARGS ?=
MUTATION_ARGS ?=
SANITY_ARGS ?=
SIMULATIONS_ARGS ?= --rollouts 200 --seed 1
REAL_ARGS ?=
VERSIONS_ARGS ?=
SCENARIOS ?=

VENV := .venv
BIN  := $(VENV)/bin
IMPORTER := build/importer/venv
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help setup setup-dev fortio programs e2e sandbox sandbox-down test lint sanity bench simulations campaign kills mutation versions \
  real real-up real-down molecule docs build clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.ready ## Build .venv and link the collection into it
	@echo "setup: $(VENV) is ready; try $(BIN)/ansible-doc -l iter8.kfserving"

setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: requirements.txt tests/setup.sh
	@bash tests/setup.sh "$(PYTHON)" "$(VENV)" requirements.txt
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@bash tests/setup.sh "$(PYTHON)" "$(VENV)" requirements-dev.txt
	@touch $@

$(VENV)/.ready-mutation: $(VENV)/.ready-dev tests/mutation/requirements.txt
	@bash tests/setup.sh "$(PYTHON)" "$(VENV)" tests/mutation/requirements.txt
	@touch $@

$(IMPORTER)/.ready: $(VENV)/.ready-dev tests/importer-requirements.txt
	@echo "setup: installing what tests/importer-requirements.txt lists in $(IMPORTER)"
	@$(BIN)/python -m venv $(IMPORTER)
	@$(IMPORTER)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/importer-requirements.txt
	@touch $@

e2e: $(VENV)/.ready ## Deploy, roll out under load, judge, tear down (PLATFORM=kserve, FAULT=, ARTIFACTS=, ANSIBLE_ARGS=)
	@mkdir -p build && touch build/.e2e-started; code=0; \
	$(BIN)/ansible-playbook playbooks/e2e.yml -e iter8_kfserving_artifacts="$(abspath $(ARTIFACTS))" \
	  -e iter8_kfserving_platform="$(PLATFORM)" $(if $(FAULT),-e iter8_kfserving_fault="$(FAULT)") $(ANSIBLE_ARGS) || code=$$?; \
	if [ "$(ARTIFACTS)/verdict.json" -nt build/.e2e-started ]; then \
	  $(BIN)/python -c 'import json, sys; v = json.load(open(sys.argv[1])); print("e2e:", v["verdict"].upper() + ":", v["summary"])' \
	    "$(ARTIFACTS)/verdict.json"; \
	  echo "e2e: the artefacts lie in $(ARTIFACTS)/ (report.html to look at, verdict.json for scripts)"; \
	elif [ $$code = 99 ]; then \
	  echo "e2e: interrupted; removing what it started"; \
	  $(BIN)/ansible-playbook playbooks/teardown.yml $(ANSIBLE_ARGS) || echo "e2e: not all is gone; the next 'make e2e' removes it"; \
	else echo "e2e: no verdict was reached; the failed task above says why"; fi; exit $$code

sandbox: $(VENV)/.ready ## Leave a sandbox up for exploring (SANDBOX=name, PLATFORM=kserve)
	@$(BIN)/ansible-playbook playbooks/deploy.yml -e iter8_kfserving_sandbox=$(SANDBOX) \
	  -e iter8_kfserving_platform="$(PLATFORM)" $(ANSIBLE_ARGS)
	@echo "sandbox: '$(SANDBOX)' is up; 'make sandbox-down' removes it"

sandbox-down: $(VENV)/.ready ## Remove that sandbox
	@$(BIN)/ansible-playbook playbooks/teardown.yml -e iter8_kfserving_sandbox=$(SANDBOX) $(ANSIBLE_ARGS)
	@echo "sandbox-down: '$(SANDBOX)' is gone"

# For the tests and the bench, which do without where Go is missing.
fortio: $(VENV)/.ready-dev
	@bash tests/fortio.sh "$(BIN)"

# No test can wait for minutes until they are built.
programs: $(VENV)/.ready-dev
	@$(BIN)/python -m ansible_collections.iter8.kfserving.tests.programs

test: fortio programs ## Unit tests, then integration tests on a sandbox of their own
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.ready-dev ## ruff, mypy strict, ansible-lint production, documentation
	@bash tests/lint.sh "$(BIN)"
	@echo "lint: clean"

sanity: $(VENV)/.ready-dev $(if $(SANITY_ARGS),,$(IMPORTER)/.ready) ## ansible-test sanity, and Galaxy's importer on the artefact (some minutes; SANITY_ARGS="--test NAME": that alone)
	@bash tests/sanity.sh "$(BIN)" $(SANITY_ARGS)
	@$(if $(SANITY_ARGS),,bash tests/importer.sh "$(BIN)" "$(IMPORTER)")
	@echo "sanity: clean"

bench: fortio ## The load engine beside wrk, hey and Fortio, and over gRPC beside ghz (build/bench/bench.json)
	@PATH="$$PATH:$(CURDIR)/$(BIN)" $(BIN)/python tests/bench/run.py
	@$(BIN)/python tests/bench/grpc_bench.py
	@echo "bench: the figures are in build/bench/bench.json"

simulations: $(VENV)/.ready-dev ## Rollouts with known truths: how often do the gates decide wrongly? (SIMULATIONS_ARGS="--rollouts 3 --seed N")
	@$(BIN)/python tests/bench/gates.py $(SIMULATIONS_ARGS)

campaign: $(VENV)/.ready-dev ## Real faults in real rollouts: is each verdict right? (CAMPAIGN_ARGS="--only NAME --seeds N")
	@$(BIN)/python tests/campaign/run.py $(CAMPAIGN_ARGS)

kills: $(VENV)/.ready-dev ## kill -9 of any process of a run at moments of the seed's, then teardown: what is left? (KILLS_ARGS="--seed N --kills N")
	@$(BIN)/python tests/campaign/kills.py $(KILLS_ARGS)

mutation: $(VENV)/.ready-mutation ## Rules of the verdict taken away: does a test fail each time? Then mutmut on them, which takes long (MUTATION_ARGS=--no-mutmut)
	@$(BIN)/python tests/mutation/run.py $(MUTATION_ARGS)

# Each has a virtual environment of its own in build/versions/.
versions: ## The oldest and newest ansible-core, the load engine on each Python (VERSIONS_ARGS="oldest newest load 2.18 3.9")
	@$(PYTHON) tests/versions.py $(VERSIONS_ARGS)

REAL := $(BIN)/python -m ansible_collections.iter8.kfserving.tests.real

real: $(VENV)/.ready-dev ## Rollouts on real parts: Kubernetes, Knative, KServe, a gateway; see docs/real.md (REAL_ARGS="-m quick")
	@$(REAL) test $(REAL_ARGS)

real-up: $(VENV)/.ready-dev ## Leave that cluster up for exploring
	@$(REAL) up

real-down: $(VENV)/.ready-dev ## Remove it
	@$(REAL) down

molecule: $(VENV)/.ready-dev ## The Molecule scenarios, each on a sandbox of its own (SCENARIOS="default kserve" for some of them)
	@PATH="$(CURDIR)/$(BIN):$$PATH" molecule test $(or $(addprefix --scenario-name ,$(SCENARIOS)),--all)
	@echo "molecule: the scenarios passed: $(or $(SCENARIOS),all)"

docs: $(VENV)/.ready-dev ## The documentation's site: guides, runbooks, reference (build/docs/html)
	@bash tests/docs.sh "$(BIN)"
	@echo "docs: the site is in build/docs/html/ (index.html)"

build: $(VENV)/.ready ## The collection as an installable artefact in build/
	@bash tests/build.sh "$(BIN)" build
	@echo "build: the artefact is in build/"

clean: ## Remove .venv and build/ (not the user's cache of built binaries)
	@rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
	@echo "clean: .venv and build/ are gone"
