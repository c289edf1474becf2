# What people do with this repository. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := protos services/common services/api services/scheduler services/notifier services/node-agent \
	services/gateway clients/python devtools/emulator devtools/stack tests/testkit
RELEASED := protos/src $(addprefix services/,common api scheduler node-agent)
CODE := $(MEMBERS) tests benchmarks examples deploy
BASE ?= main
WORKERS ?= 3
PIP := $(BIN)/pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-ops dev test properties simulate chaos check format docs protos protos-check contract skew types bench images release constraints clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: $(VENV)/ready ## make .venv with everything in it

$(VENV)/ready: constraints.txt $(MEMBERS:%=%/pyproject.toml)
	@echo "setting up $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes --no-deps -r constraints.txt
	@$(PIP) install --no-deps --no-build-isolation $(MEMBERS:%=-e ./%)
	@touch $@

demo: setup ## run two workflows on a whole mesh, save the pictures to out/ (COMFYUI_URL or COMFYUI_DIR: a real ComfyUI; RUNTIME=docker: in a container)
	@$(BIN)/python -m comfymesh.stack.demo

demo-ops: setup ## run a mesh under load and faults, leave dashboards, alerts and a trace in out/ops/ (needs Prometheus)
	@$(BIN)/python -m comfymesh.stack.ops.command $(ARGS)

dev: setup ## run a mesh until Ctrl-C (COMFYUI_URL or COMFYUI_DIR: with a real ComfyUI)
	@$(BIN)/comfymesh dev

# In order of folders: those that take long come first, and the small ones fill up what is left.
test: setup ## run the tests, WORKERS side by side (those that need Docker are skipped where there is none)
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

properties: setup ## look for examples that break a property, ROUNDS times, each time others
	@for round in $$(seq $(or $(ROUNDS),10)); do \
		env --unset=CI $(BIN)/pytest --quiet --numprocesses $(WORKERS) -m hypothesis $(ARGS) tests || exit 1; \
	done

simulate: setup ## run the mesh on a virtual clock, with faults (SEED=17 runs one seed, SEED=0:5000 a range)
	@$(BIN)/python -m comfymesh.testkit.simulation --seeds $(or $(SEED),0:1000)

chaos: setup ## kill real processes under load (DURATION in seconds, SEED to run again)
	@$(BIN)/python -m comfymesh.testkit.chaos --seconds $(or $(DURATION),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

check: setup ## check format, lint, types and protos
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(MAKE) --no-print-directory types protos-check

types: setup
	@$(BIN)/mypy
	@$(BIN)/mypy clients/comfyui-nodes/comfymesh_nodes

format: setup ## format the code
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/buf format -w

docs: setup ## make what is made from code: docs/metrics.md, docs/configuration.md, dashboards, rules, names of variables
	@$(BIN)/python -m comfymesh.telemetry.page > docs/metrics.md
	@$(BIN)/python -m comfymesh.stack.configuration > docs/configuration.md
	@$(BIN)/python -m comfymesh.stack.variables > services/common/src/comfymesh/runtime/known_variables.py
	@$(BIN)/python -m comfymesh.stack.observability.making

protos: setup ## make the stubs and docs/api.md from the protos
	@protos/generate.sh
	@$(BIN)/buf build --as-file-descriptor-set -o - | $(BIN)/python protos/document.py

protos-check: setup
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --against '.git#branch=$(BASE)'
	@for released in protos/released/*.binpb; do $(BIN)/buf breaking --against $$released || exit 1; done
	@$(MAKE) --no-print-directory protos
	@git diff --exit-code --stat -- protos/src docs/api.md docs/service-config.json || { echo 'the stubs or docs/api.md were stale: commit what `make protos` made'; exit 1; }

skew: setup ## run chaos on a mesh of two versions: old agents, then old control plane (OTHER: a commit)
	@test -n "$(OTHER)" || { echo 'name the other version: make skew OTHER=COMMIT'; exit 2; }
	@git worktree prune && test -d .cache/versions/$(OTHER) || git worktree add --quiet --detach .cache/versions/$(OTHER) $(OTHER)
	@$(MAKE) --no-print-directory -C .cache/versions/$(OTHER) setup
	@for old in agent-0,agent-1 api-0,api-1,scheduler-0,scheduler-1 api-0,scheduler-0,agent-0; do \
		echo "of $(OTHER): $$old"; \
		$(BIN)/python -m comfymesh.testkit.chaos --seconds $(or $(DURATION),30) $(if $(SEED),--seed $(SEED)) \
			--python $(CURDIR)/.cache/versions/$(OTHER)/$(BIN)/python --of $$old --save out/skew || exit 1; \
	done

contract: setup ## keep the contract and the sources of a version that is released (VERSION)
	@test -n "$(VERSION)" || { echo 'name the version: make contract VERSION=1.2.3'; exit 2; }
	@test ! -e protos/released/$(VERSION).binpb || { echo 'protos/released/$(VERSION).binpb is there: a released contract is never changed'; exit 1; }
	@$(BIN)/buf build --exclude-source-info --as-file-descriptor-set -o protos/released/$(VERSION).binpb
	@git archive HEAD $(RELEASED) ':!*.pyi' | xz -9e > tests/data/released/$(VERSION).tar.xz

bench: setup ## measure: overhead, throughput, progress latency
	@$(BIN)/python -m benchmarks $(ARGS)

images: setup ## build the container image comfymesh:dev (needs Docker)
	@deploy/images/build.sh

constraints: setup ## resolve requirements.in anew into constraints.txt (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --upgrade requirements.in --output-file constraints.txt

release: setup ## make the bundle from which the agent is installed on a host (VERSION, PYTHON_VERSION)
	@deploy/host/release.sh

clean: ## remove what was made here
	@rm -rf $(VENV) .venv-gen .cache out .mypy_cache .ruff_cache .pytest_cache .hypothesis
