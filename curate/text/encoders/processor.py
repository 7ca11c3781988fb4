"""Which precisions this processor multiplies by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from curate.core.errors import RecipeError

Precision = Literal["fp32", "bf16"]
CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16", "svebf16")  # x86's two, then ARM's, as Linux names them
_CAPABILITIES = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # as torch names them


def multiplies_bf16() -> bool:
    """Whether the processor has an instruction for bf16 products; without, a pass took seven times as long as in fp32 (measured).

    Linux is asked first, which costs nothing; elsewhere torch, in versions that tell. Unknown counts as no.
    """
    try:
        flags = set(CPUINFO.read_text("utf-8").split())
    except OSError:
        import torch

        ask: Any = getattr(torch.cpu, "get_capabilities", dict)  # torch 2.11 has none
        capabilities: Mapping[str, object] = ask()
        return any(capabilities.get(name) for name in _CAPABILITIES)
    return not flags.isdisjoint(BF16_FLAGS)


def check_precision(precision: Precision, where: str) -> None:
    """Refuse a precision that would only be slow here.

    Raises:
        RecipeError: bf16 on a processor without an instruction for it.
    """
    if precision == "bf16" and not multiplies_bf16():
        raise RecipeError(
            (
                f"{where}: precision bf16: this processor has neither amx_bf16 nor avx512_bf16 (nor ARM's bf16), and "
                "without them bf16 is slower than fp32"
            ),
            hint="take precision: fp32",
        )
