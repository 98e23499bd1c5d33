PYTHON ?= python3.11
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
# on all cores, where pip uses one; packages hold templates that are no Python, which are left as they are.
# Not what hardly anyone imports, two fifths of all: whoever does compiles it then
RARE := /(tests?|testing|sympy|plotly|databricks|bokeh|altair|fontTools|pip|_inductor|_dynamo)/
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '$(RARE)' .venv/lib || true
PYTEST := $(BIN)/python -m tests.workers --dist loadfile --no-loadscope-reorder
export DO_NOT_TRACK := true
export KEDRO_DISABLE_TELEMETRY := true
export MLFLOW_DISABLE_TELEMETRY := true
# tests start many processes: what one has compiled the others read, whatever the caller's shell says
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run app notebooks viz viz-build test quick pytest pytest-quick campaign mutants coverage docs lint bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
	@echo "Pipelines: .venv/bin/kedro run --help; all else: .venv/bin/dosvotos --help"

run: .venv/.run ## sample market to promotion proposal
	@$(BIN)/kedro run

app: .venv/.run ## approval app and REST API at 127.0.0.1:8501
	@DOSVOTOS_SINGLE_USER=1 $(BIN)/dosvotos app

notebooks: .venv/.notebooks ## JupyterLab on notebooks/, with the catalog loaded
	@$(BIN)/kedro jupyter lab notebooks

viz: .venv/.viz ## kedro-viz: the six layers in a browser
	@echo "at http://127.0.0.1:4141/?types=nodes; its filter 'Datasets' shows what the layers hand over"
	@$(BIN)/kedro viz run

# kedro viz build takes all pipelines at once, whose nodes share their ids: it would unfold the blocks
VIZ_BUILD := from pathlib import Path; from kedro.framework.startup import bootstrap_project; \
  from kedro_viz.integrations.deployment.deployer_factory import DeployerFactory; \
  from kedro_viz.server import load_and_populate_data; here = Path.cwd(); bootstrap_project(here); \
  load_and_populate_data(here, package_name="dosvotos", pipeline_name="lineage"); \
  DeployerFactory.create_deployer("local").deploy(True)

viz-build: .venv/.viz ## the same as a folder for any web server: build/
	@$(BIN)/python -c '$(VIZ_BUILD)'
	@echo "see http://localhost:8000/?types=nodes after: python -m http.server -d build"

# mypy beside the tests: they wait now and then, for servers and browsers
test: .venv/.test ## all that CI runs
	@$(MAKE) --no-print-directory -j 2 lint pytest

quick: .venv/.test ## the tests that take no time
	@$(MAKE) --no-print-directory -j 2 lint pytest-quick

pytest: .venv/.test
	@$(PYTEST) -m "not campaign" --durations=60

pytest-quick: .venv/.test
	@$(PYTEST) -m "not slow and not browser and not campaign"

campaign: .venv/.test ## the longest tests, all examples, planted leaks over many seeds, mutants (hours, by hand)
	@$(PYTEST) -m "campaign or hypothesis" --hypothesis-profile=campaign
	@$(BIN)/python -m tests.leakage.campaign
	@$(MAKE) --no-print-directory mutants

# The groups run whole so far; alignment and decision stand in tests/mutation too, by name
ONLY ?= accounting criteria ledger votes window
mutants: .venv/.mutation ## mutation testing of what decides; an unexplained survivor fails (ONLY="criteria ledger")
	@$(BIN)/python -m tests.mutation $(ONLY)

coverage: .venv/.test ## lines and branches that make test runs below datasets (by hand)
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not campaign"
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --skip-covered --fail-under=90

lint: .venv/.test ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: .venv/.run ## docs/reference from the typed models
	@$(BIN)/python docs/reference/generate.py

bench: .venv/.test ## the figures of benchmarks/README.md
	@for script in benchmarks/*.py; do $(BIN)/python $$script; done

clean: ## remove the environment (data/ stays)
	rm -rf .venv

.venv/bin/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip

# torch comes first and alone, so that TORCH_INDEX can name an index of CPU builds (the default build brings CUDA)
.venv/.torch: .venv/bin/python constraints.txt
	@echo "installing (a few minutes, once) ..."
	@$(INSTALL) "$$(grep '^torch==' constraints.txt)" $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

.venv/.run: .venv/.torch pyproject.toml
	@$(INSTALL) -e '.[run]'
	@$(COMPILE)
	@touch $@

.venv/.viz: .venv/.run
	@$(INSTALL) -e '.[run,viz]'
	@$(COMPILE)
	@touch $@

.venv/.notebooks: .venv/.run
	@$(INSTALL) -e '.[run,notebooks]'
	@touch $@

.venv/.test: .venv/.torch pyproject.toml
	@$(INSTALL) -e '.[test]'
	@$(INSTALL) --no-deps empyrical-reloaded  # alone: it refuses our peewee, which it never imports
	@$(COMPILE)
	@touch $@ .venv/.run .venv/.viz

.venv/.mutation: .venv/.test
	@$(INSTALL) -e '.[test,mutation]'
	@touch $@
