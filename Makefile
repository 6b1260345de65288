# Every target works in a fresh clone. A Python of 3.11 to 3.14, or uv, and for the container targets Docker with Compose
# are all it needs: services/local/set-up picks the interpreter; PYTHON=… names one.
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
MEMBERS := services/contracts services/vllm services/retrieval services/sandbox services/local services/live eval analysis
LOCKS := $(wildcard services/*/requirements.lock) eval/requirements.lock analysis/requirements.lock requirements-dev.lock
RUN_ID ?= $(shell date -u +%Y%m%d-%H%M%S)
export PATH := $(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check check-prices check-lowest format up analyze profile bench bench-retrieval bench-runner bench-analysis bench-otel bench-live env-example schemas lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

setup: $(VENV)/.complete ## Make .venv with everything at its locked version

$(VENV)/.complete: $(LOCKS) $(MEMBERS:%=%/pyproject.toml)
	PYTHON='$(PYTHON)' services/local/set-up $(CURDIR)/$(VENV) $(LOCKS)
	$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	touch $@

demo: setup ## The whole chain on the CPU: 20 questions, real models, a report; no GPU, Docker or key
	podium-local run --embedded --run-id $(or $(DEMO_RUN_ID),demo-$(RUN_ID)) $(DEMO_ARGS)

# inspect_ai is no part of Podium: its reader and viewer test what export-inspect writes, in an environment of their own.
.venv-inspect/.complete: analysis/tests/inspect.lock | setup
	$(BIN)/python -m venv --clear .venv-inspect
	services/local/install-locked $(CURDIR)/.venv-inspect/bin/python $<
	touch $@

test: setup .venv-inspect/.complete ## Every test; those that need Docker or Chromium say so when there is none
	python -m pytest -n 2 --dist loadscope $(PYTEST_ARGS)

check: setup ## Lint, format, types
	ruff check .
	ruff format --check .
	pyright

check-prices: setup ## Our table of prices against genai-prices': what differs, what is missing
	python .ci/prices.py

check-lowest: setup ## The torch-free members at the lowest versions that they admit; minutes
	.ci/lowest

format: setup ## Put the code into its format
	ruff check --fix .
	ruff format .

up: ## Two GPUs: the settings, the services, then the run (docker compose up eval)
	docker compose run --rm --build settings
	docker compose up --build --exit-code-from eval eval

analyze: ## Report of the newest compose run, copied to ./runs
	docker compose run --rm --build analysis
	mkdir -p runs
	docker compose create --no-recreate analysis >/dev/null && docker compose cp analysis:/runs/. runs/

profile: ## 512 tasks at once in the background on the GPU stack, its analysis at the end; refuses when one is on
	services/local/profile compose

bench: bench-retrieval bench-runner bench-analysis bench-otel bench-live ## All benchmarks, one after the other

bench-retrieval: setup ## Lock against batch over HTTP at 1, 8, 64 and 512 clients
	python bench/retrieval.py $(BENCH_ARGS)

bench-runner: setup ## The event log's rate; 512 tasks at once against a stub of fixed latency, then 2,500
	python bench/eventlog.py
	python bench/runner.py $(BENCH_ARGS)

bench-analysis: setup ## A log of 1,000,000 events: statistics, figures, report
	python bench/analysis.py $(BENCH_ARGS)

bench-otel: setup ## What exporting traces costs a run
	python bench/otel.py $(BENCH_ARGS)

bench-live: setup ## The live page: CPU with 0, 1 and 10 viewers, freshness, 2,500 tasks opened
	python bench/live.py $(BENCH_ARGS)

env-example: setup ## Write .env.example from the settings classes
	python .ci/env_example.py

schemas: setup ## Write the JSON Schemas from the types that they are of
	python .ci/schemas.py

lock: setup ## Resolve all dependencies again and write the locks
	.ci/lock $(LOCK_ARGS)

clean: ## Remove the environments and what podium-local made; runs stay
	rm -rf $(VENV) $(VENV)-* .podium
