#!/bin/bash
# The grid on a base of about 60 M parameters, on a machine with a GPU; further arguments go to `align ablate`.
#   curate build --source RAW --out pairs/        # RAW: a folder of dialogue and Singlish, with held_out/ for what alignment forgets
#   benchmarks/ablation_gpu.sh pairs/ [--plan] [--set a.b=c]
set -euo pipefail
pairs=${1:?usage: $0 PAIRS [options of align ablate]}
shift
pairs=$(realpath "$pairs") # before the folder changes
cd "$(dirname "$0")/.."
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1} TOKENIZERS_PARALLELISM=false
exec "${PYTHON:-python3}" -m align ablate recipes/ablation_gpu.yaml --set "data=$pairs" "$@"
