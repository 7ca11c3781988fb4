"""Run an encoder by OpenVINO: an export of the torch model, made once a machine and kept in the user's cache folder.

The export is in fp32, compiled for one thread and for fp32 products, and takes batches of one token length like torch does: a
text's vector does not depend on its neighbours. optimum-intel is not used: no version of it takes transformers 5.23.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.core.errors import RecipeError
from curate.core.schema import digest
from curate.core.store import sha256
from curate.text.encoders.vectors import EncoderModel, Network, Vectors, rounded

VERSION = "1"  # of how an export is made and run
MODEL, WEIGHTS, RECEIPT = "model.xml", "model.bin", "sha256"
CLOSE = 2.0**-10  # to the torch model: two steps of float16 at 1/2 to 1
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}


def check_backend(backend: str, where: str) -> None:
    """Refuse a backend that is not installed.

    Raises:
        RecipeError: openvino is asked for and not there.
    """
    if backend == "openvino" and importlib.util.find_spec("openvino") is None:
        raise RecipeError(f"{where}: backend openvino: it is not installed", hint="pip install 'margins[openvino]'")


def export_hash(model_hash: str) -> str:
    """Of all that decides what an export puts out: the model, OpenVINO's version, and this file's."""
    check_backend("openvino", "encode")
    return digest("openvino", VERSION, importlib.metadata.version("openvino"), model_hash, size=32)


def load_export(network: Callable[[], Network], name: str) -> EncoderModel:
    """An encoder that runs by OpenVINO.

    Args:
        network: gives the torch model: its tokenizer is used, and its weights where the export must be made.
        name: hash that `export_hash` gave.

    Raises:
        RecipeError: what was exported does not give torch's vectors.
    """
    source = network()
    folder = cache_folder() / name
    if not _believed(folder):
        _export(source, folder)
    run = _compiled(folder)
    return source.as_model(run)


def cache_folder() -> Path:
    """Where exports lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "margins" / "openvino"


def _compiled(folder: Path) -> Callable[[NDArray[np.int64]], Vectors]:
    model = _openvino().Core().compile_model(str(folder / MODEL), "CPU", OPTIONS)
    request, out = model.create_infer_request(), model.output(0)

    def run(ids: NDArray[np.int64]) -> Vectors:
        return np.array(request.infer({0: ids})[out], np.float32)  # a copy: the next call writes over it

    return run


def _export(network: Network, folder: Path) -> None:
    """Make the export under another name, then give it its own: it is there whole or not at all."""
    import torch

    openvino = _openvino()

    class Traced(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return network.forward(ids)

    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".export", dir=folder.parent))
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a trace warns of every branch; the check below is what counts
            shape = openvino.PartialShape([-1, -1])
            model = openvino.convert_model(Traced().eval(), example_input=torch.ones(2, 7, dtype=torch.int64), input=[shape])
            openvino.save_model(model, str(staging / MODEL), compress_to_fp16=False)
            ids = torch.arange(5, 38).reshape(3, 11)  # a shape that the trace did not see
            if np.abs(rounded(_compiled(staging)(ids.numpy())) - rounded(network.forward(ids).numpy())).max() > CLOSE:
                raise RecipeError("encode: the OpenVINO export of this encoder gives other vectors", hint="take backend: torch")
        (staging / RECEIPT).write_text(_hash(staging), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        staging.replace(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _believed(folder: Path) -> bool:
    try:
        return _hash(folder) == (folder / RECEIPT).read_text("utf-8")
    except OSError:
        return False


def _hash(folder: Path) -> str:
    return digest(*(sha256(folder / name) for name in (MODEL, WEIGHTS)), size=32)


def _openvino() -> Any:  # noqa: ANN401 - the module
    """OpenVINO without its telemetry, which otherwise reports every import and every conversion over the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python marks what must not be imported
    import openvino

    return openvino
