"""Are the tests green on other processors? Those of what computes with numbers, under four settings of what a processor may do.

Libraries are told to use no more than an old processor has (a setting cannot add what this one lacks), which moves the last
bits of sums and products; then two threads, which moves their order. MKL obeys only COMPATIBLE on an AMD processor.

    python scripts/processors.py [--only oldest] [--tests tests/curate/text]

Prints a line for each setting and what failed under it. Exits 1 when anything did. About half an hour on two cores.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    *(f"tests/curate/{room}" for room in ("core", "text", "labelers", "stages", "pairing", "compose")),
    *(f"tests/align/{room}" for room in ("training", "models", "objectives", "evaluation")),
)
SETTINGS = {
    "as it is": {},
    "oldest": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
    },
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    "two threads": {"OMP_NUM_THREADS": "2"},
}
"""Setting -> what it puts into the environment; variables of other settings are taken out."""

FAILED = re.compile(r"^(?:FAILED|ERROR) .*", re.MULTILINE)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--only", type=click.Choice(list(SETTINGS)), multiple=True, help="Settings to try; all without it.")
@click.option("--tests", multiple=True, help="Files or folders; those named in this script without it.")
def main(only: tuple[str, ...], tests: tuple[str, ...]) -> None:
    """Run the tests under each setting, one after the other."""
    plain = {name: value for name, value in os.environ.items() if not any(name in setting for setting in SETTINGS.values())}
    green = True
    for name in only or SETTINGS:
        start = time.monotonic()
        command = [sys.executable, "-m", "pytest", *(tests or TESTS)]
        run = subprocess.run(command, cwd=ROOT, env=plain | SETTINGS[name], capture_output=True, text=True, check=False)
        counts = run.stdout.strip().rpartition("\n")[2] or run.stderr.strip()
        click.echo(f"{name:12} {(time.monotonic() - start) / 60:5.1f} min  {counts}")
        for line in FAILED.findall(run.stdout):
            click.echo(f"  {line}")
        green = green and run.returncode == 0
    sys.exit(not green)


if __name__ == "__main__":
    main()
