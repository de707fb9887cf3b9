# Needs git, make and Python 3.11 or newer; everything else goes into .venv, as constraints.txt pins it.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# Tests and lint run in processes of their own; a token file in the user's home must not decide whether they may.
export RAY_AUTH_MODE ?= disabled

.PHONY: demo test test-system test-interop lint docs bench clean

demo: .venv/.installed
	$(BIN)/xner run configs/demo.yaml

test: .venv/.installed
	$(BIN)/python -m pytest tests -m "not slow"

test-system: .venv/.installed
	$(BIN)/python -m pytest tests -m slow --timeout 1200 --durations 12

# Exports read by datasets, Flair, GLiNER and spaCy, each in an environment of its own under build/interop.
test-interop: .venv/.installed
	XNER_INTEROP=1 $(BIN)/python -m pytest tests/interop --timeout 3600

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy xner_ray jobs

docs: .venv/.installed
	$(BIN)/python -m xner_ray.config.reference docs/configuration.md

# Labeling against its limit and its peers; a quiet machine and half an hour. BENCH="--text DIR --teacher DIR --aligner DIR"
# takes real text and trained models, --device cuda a GPU.
bench: .venv/.installed
	$(BIN)/python -m bench.throughput --json bench/results/throughput.json $(BENCH)
	$(BIN)/pip install -q -c constraints.txt matplotlib
	$(BIN)/python -m bench.plot bench/results/throughput.json bench/results/throughput.svg

clean:
	rm -rf .venv out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/.installed: pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or newer. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[embedded,opus,s3,dev]'
	@touch $@
