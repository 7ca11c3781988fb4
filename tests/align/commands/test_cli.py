"""The `align` command line: one line and an exit code for every slip."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from curate.core.command import entry
from curate.core.errors import DataError, NonFiniteError

ROOT = Path(__file__).resolve().parents[3]
Align = Callable[..., tuple[int, str, str]]


@pytest.fixture
def align(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Align:
    from align.commands.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["align", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out, said.err

    return call


def write(folder: Path, pairs: Path, terms: Path, more: str = "") -> Path:
    path = folder / "r.yaml"
    path.write_text(
        f"name: r\ndata: {pairs}\nmodel: {{'builtin:tiny': {{vocab_size: 400}}}}\n"
        "phases: [{sft: {learning_rate: 1e-3}}, {kto_s: {learning_rate: 1e-4}}, {dpo: {learning_rate: 1e-4}}]\n"
        f"eval: {{suites: [heldout], judge: {{lexicon: {{terms: {terms}}}}}}}\n{more}"
    )
    return path


@pytest.mark.parametrize("command", [[], ["run"], ["eval"], ["plan"], ["compare"]])
def test_help_is_there_for_every_command(align: Align, command: list[str]) -> None:
    code, out, _ = align(*command, "--help")
    assert code == 0 and out.startswith("Usage: ") and "Options:" in out


def test_plan_says_rows_lengths_and_steps_and_no_text(align: Align, pairs: Path, terms: Path, tmp_path: Path) -> None:
    code, out, err = align("plan", write(tmp_path, pairs, terms), "--runs", tmp_path)
    assert code == 0, err
    for word in ("1-sft", "2-kto_s", "3-dpo", "desirable", "steps", "held-out prompts", "M parameters", "GB"):
        assert word in out
    assert not any(word in out for word in ("fool", "clown", "nicely", "laksa"))


def test_plan_says_how_the_classes_weigh(align: Align, pairs: Path, terms: Path, tmp_path: Path) -> None:
    recipe = write(tmp_path, pairs, terms)
    _, out, _ = align("plan", recipe, "--runs", tmp_path)
    assert "2-kto_s: lambda_desirable 1, lambda_undesirable 1: desirable rows weigh" in out
    _, out, _ = align("plan", recipe, "--runs", tmp_path, "--set", "phases.kto_s.lambda_undesirable=9")
    assert "outside KTO's [1, 1.33]" in out and "makes it 1" in out


def test_plan_shows_the_example_when_told(align: Align, pairs: Path, terms: Path, tmp_path: Path) -> None:
    _, out, _ = align("plan", write(tmp_path, pairs, terms), "--runs", tmp_path, "--show-text")
    assert "<|assistant|>" in out and "scored" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "none.yaml"], 2, "none.yaml: cannot read this recipe"),
        (["run"], 2, "Missing argument"),
        (["run", "{recipe}", "--seeds", "a"], 2, "expected numbers such as 0,1,2"),
        (["run", "{recipe}", "--seed", "1", "--seeds", "0,1"], 2, "found both\n  hint: give one"),
        (["run", "{recipe}", "--set", "phases.kto_s.betta=1"], 2, "did you mean 'beta'"),
        (["run", "{recipe}", "--set", "data=nowhere"], 3, "nowhere: found no such folder"),
        (["plan", "{recipe}", "--set", "data=nowhere"], 3, "nowhere: found no such folder"),
        (["compare", "nowhere"], 3, "nowhere: found no results.json"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_a_slip_is_one_line_and_its_exit_code(
    align: Align, pairs: Path, terms: Path, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    recipe = write(tmp_path, pairs, terms)
    found, _, err = align(*(part.format(recipe=recipe) for part in arguments))
    assert found == code and said in err and "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("Error")]) == 1


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("x: found y; do z"), 3, "Error: x: found y; do z\n"),
        (NonFiniteError("step 3: loss is NaN"), 65, "Error: step 3: loss is NaN\n"),
        (
            OSError(28, "No space left on device", "runs/a"),
            74,
            "No space left on device\n  hint: check the path and the disk\n",
        ),
        (KeyboardInterrupt(), 130, "Error: interrupted\n  hint: the same command resumes\n"),
        (click.UsageError("no such thing"), 2, "Error: no such thing\n"),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["fails"])
    with pytest.raises(SystemExit) as done:
        entry(fails)
    assert done.value.code == code and capsys.readouterr().err.endswith(said)


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["fails"])
    with pytest.raises(ZeroDivisionError):
        entry(fails)


def test_sigterm_ends_as_an_interrupt_with_its_own_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def waits() -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(sys, "argv", ["waits"])
    with pytest.raises(SystemExit) as done:
        entry(waits)
    assert done.value.code == 143 and "the same command resumes" in capsys.readouterr().err
