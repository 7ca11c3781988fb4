PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS := benchmarks/results
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
# Torch with default threads collapses on busy cores; nothing here reaches for a hub.
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: install demo demo-seeds check test torture mutants processors docs weights examples clean
.PHONY: bench-duplicates bench-encoders bench-gpu bench-kto-s bench-labels bench-lexicon
.PHONY: bench-pairs bench-precision bench-sources bench-statistics bench-step

# A virtual environment with what the tests need, in the versions that were tested together.
install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# From a folder of raw text to a safer model: these two commands are all there is.
demo: install
	@echo "curate build --source examples/raw/ --out pairs/"
	@echo "align run recipes/kto_s.yaml"
	@PATH="$(CURDIR)/$(BIN):$$PATH"; export PATH; \
	curate build --source examples/raw/ --out pairs/ && align run recipes/kto_s.yaml && \
	echo "user and system time of this shell, then of both commands:" && times

# The same for three seeds, with a verdict on every figure the README claims.
demo-seeds: install
	$(BIN)/curate build --source examples/raw/ --out pairs/
	$(BIN)/align run recipes/kto_s.yaml --seeds 0,1,2

# Style, types, floors, and that the pages made from the code are up to date.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py
	$(BIN)/python scripts/cli_reference.py --check
	$(BIN)/python scripts/errors_reference.py --check
	$(BIN)/python scripts/python_reference.py --check

# All tests and the examples in docstrings, in two processes: a file's tests share what they build, so files are shared out.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The reliability tests at their full counts; prints a line per promise. Takes long.
TORTURE := $(addprefix tests/curate/pipeline/test_,crash.py hostile.py forget.py canaries.py unicode.py) \
	tests/curate/compose/test_compose.py tests/align/bench/test_gpu_script.py tests/align/ablation/test_ablate.py tests/align/ablation/test_price.py
torture: install
	MARGINS_TORTURE=1 MARGINS_EXAMPLES=1000 $(BIN)/python -m pytest --timeout 7200 -s $(TORTURE)

# Small faults put into the code one by one: which of them does no test notice? Takes long.
mutants: install
	$(BIN)/python scripts/mutants.py

# Are the tests of what computes green as on an old processor, with AVX2 at most, and on two threads? Half an hour.
processors: install
	$(BIN)/python scripts/processors.py

# On a GPU: is packing exact there, then the step beside TRL's at Llama-3-8B's shape. Without one, at toy size.
bench-gpu: install
	PYTHON=$(BIN)/python benchmarks/gpu.sh

# How much of a messy dump is recovered and how right, what is personal in it, which languages stay, rows a second and memory
# (needs the public sets; MARGINS_ROWS=1000000 for the long run). What it downloads is foreign text that nobody tuned by;
# nothing of it is kept here.
bench-sources: install
	$(BIN)/python -m pip download --quiet --no-deps --no-binary pycld2 --dest .cache/languages \
	  'django==5.2.*' 'pycld2==0.42'
	@status=0; for part in sources personal languages throughput; do \
	  $(BIN)/python benchmarks/$$part.py || status=1; \
	done; exit $$status

# Pairs by strategy of five public sets together, and what stopped the others (needs the public sets; BENCH_WORK=DIR keeps caches).
bench-pairs: install
	$(BIN)/python benchmarks/pairs.py $(if $(BENCH_WORK),--work $(BENCH_WORK))

# Near duplicates beside rensa, datasketch, semhash, text-dedup and datatrove, which get an environment of their own;
# then how seconds and memory grow up to five million rows (ROWS="1000000 5000000"; takes about half an hour).
ROWS ?= 1000000 5000000
bench-duplicates: install .cache/peers/.installed
	mkdir -p $(RESULTS)
	set -e; { \
	  $(BIN)/python benchmarks/duplicates.py --peers .cache/peers 50000 200000; \
	  $(BIN)/python benchmarks/duplicates_growth.py $(ROWS); \
	  $(BIN)/python benchmarks/duplicates_build.py; \
	  $(BIN)/python benchmarks/leakage.py; \
	} | tee $(RESULTS)/duplicates.txt

.cache/peers/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv .cache/peers
	.cache/peers/bin/python -m pip install --quiet --requirement benchmarks/peers.txt
	touch $@

# Ways to encode texts: speed beside MiniLM, how far a static model's decisions agree with its (needs the public sets). Minutes.
bench-encoders: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[openvino]'
	$(BIN)/python benchmarks/encoders.py

# Our training step against TRL's, as it comes and tuned: speed, memory, losses. About ten minutes on an idle machine.
bench-step: install
	mkdir -p $(RESULTS)
	$(BIN)/align bench --json > $(RESULTS)/training_step.json.part
	mv $(RESULTS)/training_step.json.part $(RESULTS)/training_step.json
	$(BIN)/python -m align.bench $(RESULTS)/training_step.json | tee $(RESULTS)/training_step.txt

# KTO-S against KTO where z is large (needs pairs/, see demo).
bench-kto-s: install
	mkdir -p $(RESULTS)
	$(BIN)/python benchmarks/kto_s.py | tee $(RESULTS)/kto_s.txt

# How good labels are: every figure of the labelers, trained and tested apart (needs the public sets; ONLY="part part").
bench-labels: install
	$(BIN)/python benchmarks/labels.py $(foreach part,$(ONLY),--only $(part)) \
	  | tee $(if $(ONLY),/dev/null,$(RESULTS)/labels.txt)

# The lexicon beside the other built-ins (needs the public sets). Minutes.
bench-lexicon: install
	$(BIN)/python scripts/measure_lexicon.py --data ../shared/data

# What bf16 and int8 buy a classifier on this processor. Minutes.
bench-precision: install
	$(BIN)/python benchmarks/classifier_precision.py

# Do intervals cover and tests find what they say? 2,000 simulated experiments a setting.
bench-statistics: install
	mkdir -p $(RESULTS)
	$(BIN)/python benchmarks/intervals.py | tee $(RESULTS)/intervals.txt

# Rewrite what docs/ has of the code: cli.md from --help, errors.md, and python.md from the docstrings.
docs: install
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/errors_reference.py
	$(BIN)/python scripts/python_reference.py

# Train the built-in labelers again (needs the public sets; see curate/labelers/builtin/weights/README.md).
weights: install
	$(BIN)/python scripts/train_builtin.py --data ../shared/data --out curate/labelers/builtin/weights

# Write examples/raw again.
examples: install
	$(BIN)/python examples/make_raw.py

# Remove what the targets above leave, but the environment.
clean:
	rm -rf pairs pairs.work runs .cache build dist *.egg-info
