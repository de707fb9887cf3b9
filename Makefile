# Needs git, make and Python 3.11 or newer. Everything else is installed into .venv with the versions of constraints.txt.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: demo test test-system test-interop lint docs bench clean

demo: .venv/.installed
	$(BIN)/xner run configs/demo.yaml

test: .venv/.installed
	$(BIN)/python -m pytest tests -m "not slow"

test-system: .venv/.installed
	$(BIN)/python -m pytest tests -m slow --timeout 1200 --durations 12

# datasets, Flair, GLiNER and spaCy read the exports, each in its own environment under build/interop.
test-interop: .venv/.installed
	XNER_INTEROP=1 $(BIN)/python -m pytest tests/interop --timeout 3600

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy xner_ray jobs

docs: .venv/.installed
	$(BIN)/python -m xner_ray.config.reference docs/configuration.md

# Throughput of labeling. Takes half an hour on an idle machine. BENCH="--text DIR --teacher DIR --aligner DIR" uses real text
# and trained models; BENCH="--device cuda" uses a GPU.
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
