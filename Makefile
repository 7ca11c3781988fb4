PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
# Torch with default threads collapses on busy cores; nothing here reaches for a hub.
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: bench-encoders bench-lexicon bench-precision install demo demo-seeds test check torture bench-sources bench-labels bench-duplicates docs weights examples clean bench-pairs bench-step bench-kto-s bench-statistics bench-gpu

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

# Two processes: a file's tests share what they build, so files are what is shared out.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py
	$(BIN)/python scripts/cli_reference.py --check

# The reliability tests at their full counts; prints a line per promise. Takes long.
torture: install
	MARGINS_TORTURE=1 MARGINS_EXAMPLES=1000 $(BIN)/python -m pytest --timeout 7200 -s tests/curate/pipeline/test_crash.py \
		tests/curate/pipeline/test_hostile.py tests/curate/pipeline/test_forget.py tests/curate/compose/test_compose.py tests/curate/pipeline/test_canaries.py tests/curate/pipeline/test_unicode.py tests/align/bench/test_gpu_script.py \
		tests/align/ablation/test_ablate.py tests/align/ablation/test_price.py

# On a GPU: is packing exact there, then the step beside TRL's at Llama-3-8B's shape. Without one, at toy size.
bench-gpu: install
	PYTHON=$(BIN)/python benchmarks/gpu.sh

# How much of a messy dump is recovered and how right, what is personal in it, which languages stay, rows a second and memory (needs the
# public sets; MARGINS_ROWS=1000000 for the long run). The downloads are foreign text that nobody tuned by; nothing of them is kept here.
bench-sources: install
	$(BIN)/python -m pip download --quiet --no-deps --no-binary pycld2 --dest .cache/languages 'django==5.2.*' 'pycld2==0.42'
	@status=0; for part in sources personal languages throughput; do $(BIN)/python benchmarks/$$part.py || status=1; done; exit $$status

# Pairs by strategy of five public sets together, and what stopped the others (needs the public sets; BENCH_WORK=DIR keeps caches).
bench-pairs: install
	$(BIN)/python benchmarks/pairs.py $(if $(BENCH_WORK),--work $(BENCH_WORK))

# Near duplicates beside rensa, datasketch, semhash, text-dedup and datatrove, which get an environment of their own;
# then how seconds and memory grow up to five million rows (ROWS="1000000 5000000"; takes about half an hour).
ROWS ?= 1000000 5000000
bench-duplicates: install .cache/peers/.installed
	mkdir -p benchmarks/results
	set -eo pipefail; { \
	  $(BIN)/python benchmarks/duplicates.py --peers .cache/peers 50000 200000; \
	  $(BIN)/python benchmarks/duplicates_growth.py $(ROWS); \
	  $(BIN)/python benchmarks/duplicates_build.py; \
	  $(BIN)/python benchmarks/leakage.py; \
	} | tee benchmarks/results/duplicates.txt

.cache/peers/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv .cache/peers
	.cache/peers/bin/python -m pip install --quiet --requirement benchmarks/peers.txt
	touch $@

# Ways to encode texts: speed beside MiniLM, and how far a static model's decisions agree with its (needs the public sets). Minutes.
bench-encoders: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[openvino]'
	$(BIN)/python benchmarks/encoders.py

# Our training step against TRL's, as it comes and tuned: speed, memory, losses; takes about ten minutes on an idle machine.
bench-step: install
	mkdir -p benchmarks/results
	$(BIN)/align bench --json > benchmarks/results/training_step.json.part
	mv benchmarks/results/training_step.json.part benchmarks/results/training_step.json
	$(BIN)/python -m align.bench benchmarks/results/training_step.json | tee benchmarks/results/training_step.txt

# KTO-S against KTO where z is large (needs pairs/, see demo).
bench-kto-s: install
	mkdir -p benchmarks/results
	$(BIN)/python benchmarks/kto_s.py | tee benchmarks/results/kto_s.txt

# How good labels are: every figure of the labelers, trained and tested apart (needs the public sets).
bench-labels: install
	set -o pipefail; $(BIN)/python benchmarks/labels.py $(foreach part,$(ONLY),--only $(part)) | tee $(if $(ONLY),/dev/null,benchmarks/results/labels.txt)

# The lexicon beside the other built-ins (needs the public sets), and what bf16 and int8 buy a classifier here. Minutes.
bench-lexicon: install
	$(BIN)/python scripts/measure_lexicon.py --data ../shared/data

bench-precision: install
	$(BIN)/python benchmarks/classifier_precision.py

# Do intervals cover and tests find what they say? 2,000 simulated experiments a setting.
bench-statistics: install
	mkdir -p benchmarks/results
	$(BIN)/python benchmarks/intervals.py | tee benchmarks/results/intervals.txt

# Rewrite docs/cli.md from --help.
docs: install
	$(BIN)/python scripts/cli_reference.py

# Train the built-in labelers again (needs the public sets; see curate/labelers/builtin/weights/README.md).
weights: install
	$(BIN)/python scripts/train_builtin.py --data ../shared/data --out curate/labelers/builtin/weights

# Write examples/raw again.
examples: install
	$(BIN)/python examples/make_raw.py

clean:
	rm -rf pairs pairs.work runs .cache build dist *.egg-info
