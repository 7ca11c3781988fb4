#!/bin/bash
# One GPU: is packing exact there, and how fast is a step beside TRL's, on random weights of Llama-3-8B's shape (LoRA r16, bf16)?
#   benchmarks/gpu.sh [--checks] [--wheels FOLDER]
# --checks stops before the race. --wheels installs the packages of a folder first, for a machine without a network; torch itself must
# be there. Without a GPU everything runs at toy size, so that a test can hold it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
arguments=()
while (($#)); do
    case $1 in
        --wheels)
            site=$(mktemp -d)
            "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "${2:?--wheels needs a folder}"/*.whl
            export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
            shift 2
            ;;
        *)
            arguments+=("$1")
            shift
            ;;
    esac
done
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false OMP_WAIT_POLICY=PASSIVE
exec "$python" benchmarks/gpu.py ${arguments[@]+"${arguments[@]}"}
