# The same commands by hand and in CI. `make` alone explains itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
COMPANY ?= data/meridian
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Byte code is kept: without it every kernel compiles the libraries again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help report test lab check bench lock sample docs clean

help: ## say what can be made
	@echo "crm-methods: from a company's raw files to six reports"
	@echo
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16
	@echo
	@echo "  make report COMPANY=data/cdnow      another company"
	@echo "  make report ARGS='--set segments.horizon_months=24'"

$(STAMP): requirements.lock pyproject.toml tools/make_venv.sh
	@bash tools/make_venv.sh $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

report: $(STAMP) ## set up, and run all six stages of COMPANY (default data/meridian)
	@$(BIN)/crm-methods run $(COMPANY) $(ARGS)

test: $(STAMP) ## set up, and pass the tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lab: $(STAMP) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks

check: $(STAMP) ## lint, format and type checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP) ## time the kit beside its peers, in one run
	@$(BIN)/python -m benchmarks

lock: ## resolve the locks and environment.yml anew from pyproject.toml (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --extra test -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra test --extra spark --extra postgresql --extra oracles -c requirements.lock -o requirements-ci.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade --extra bayes -c requirements-ci.lock -o requirements-bayes.lock pyproject.toml
	$(BIN)/python tools/environment.py --write

sample: $(STAMP) ## write the sample company anew from its seed
	@$(BIN)/python -m crm_methods.company.sample data/meridian

docs: $(STAMP) ## write the data dictionary anew from the contracts
	@$(BIN)/python -m crm_methods.company.dictionary --write

clean: ## remove the environment, reports and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find reports -mindepth 1 -not -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
