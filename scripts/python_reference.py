"""Write docs/python.md from the docstrings of the front doors; with --check, fail when the file is stale."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from reference_page import write_or_check

import align
import curate
from align.report.frames import Grid, Run
from curate.core.errors import UserError
from curate.core.progress import Step
from curate.dataset.look.frames import Dataset

TARGET = Path(__file__).resolve().parent.parent / "docs" / "python.md"
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example):\n((?:    .*\n|\n)+)", re.MULTILINE)
HEAD = """\
# In Python

    import curate, align

    dataset = curate.build("raw/", "pairs/")
    run = align.run("kto_s", data=dataset)
    print(run.table)

The same work as the command lines do, with results as polars frames. A path may be a text or a `Path`. Recipes are the same
files, or the names of those that ship; `settings` are what `--set` takes, as values. Errors are `curate.UserError`: what is
wrong, and `.hint`, what would do. Importing either package costs next to nothing; the work is imported where it is done.
`progress=print` prints a line per step.

A frame has all splits; `dataset.paired.filter(pl.col("split") == "train")` is one of them. Frames hold texts that may be toxic or
personal; what objects print by themselves does not.

A notebook goes the whole way: [quickstart.ipynb](../examples/quickstart.ipynb).

Generated from the docstrings by `python scripts/python_reference.py`. The examples below run as they stand (a test does so), in
an empty folder with these two recipes, in seconds, after `import align, curate` and `import polars as pl`. `raw/` is what
`make_raw.py` of [extending.md](extending.md) writes; `dataset` and `run` are what `curate.build` and `align.run` give below.

```yaml
# small.yaml
name: small
stages: [repair, pii, language, length, exact_duplicates, column, near_duplicates, consensus: {labelers: [column]}]
pairing: [given, same_prompt]
```

```yaml
# tiny.yaml
name: tiny
data: pairs/
model: {"builtin:tiny": {vocab_size: 400, hidden_size: 32, layers: 1, epochs: 4, batch_size: 16}}
phases:
  - sft: {learning_rate: 3e-3, epochs: 1, batch_size: 16}
  - kto_s: {learning_rate: 1e-3, epochs: 1, batch_size: 16}
eval:
  suites: [heldout]
  judge: {lexicon: {terms: terms.txt}} # a file with one line: clown
  sampling: {max_new_tokens: 24}
```
"""


def main() -> int:
    """Write, or compare."""
    return write_or_check(TARGET, reference())


def reference() -> str:
    """Both doors, then what they give."""
    pages = [HEAD]
    for package in (curate, align):
        doors = [name for name in package.__all__ if inspect.isfunction(getattr(package, name))]
        pages += [f"## {package.__name__}\n", *(_door(package.__name__, name, getattr(package, name)) for name in doors)]
        for kind in (Dataset,) if package is curate else (Run, Grid):
            pages += _class(kind)
    pages += ["## Shared\n", _entry("### Step", Step), _entry("### UserError", UserError)]
    return "\n".join(pages)


def _door(package: str, name: str, function: Callable[..., object]) -> str:
    inner, _, result = _signature(function)[1:].rpartition(") -> ")
    parameters = "".join(f"    {one},\n" for one in re.split(r", (?![^\[]*\])", inner))
    return _entry(f"### {package}.{name}\n\n```python\n{package}.{name}(\n{parameters}) -> {result}\n```", function)


def _class(kind: type) -> list[str]:
    pages = [_entry(f"### {kind.__name__}", kind)]
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, cached_property):
            pages.append(_entry(f"#### {kind.__name__}.{name}", member.func))
        elif inspect.isfunction(member):
            signature = _signature(member).replace("(self, ", "(").replace("(self)", "()")
            pages.append(_entry(f"#### {kind.__name__}.{name}\n\n`{name}{signature}`", member))
    return pages


def _signature(function: Callable[..., object]) -> str:
    """With annotations as they are written, not as the texts that they are kept as."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))


def _entry(heading: str, thing: object) -> str:
    """A docstring's text and sections as Markdown."""
    text = inspect.getdoc(thing) or ""
    text += "\n"
    parts = [heading, SECTION.sub("", text).strip()]
    parts += [_section(name, inspect.cleandoc(body)) for name, body in SECTION.findall(text)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(name: str, body: str) -> str:
    if name == "Example":
        return f"```pycon\n{body}\n```"
    if name == "Returns":
        return f"Returns: {' '.join(body.split())}"
    entries = re.sub(r"\n +", " ", body).split("\n")
    lines = [f"- `{word}`: {meaning}" for word, _, meaning in (entry.partition(": ") for entry in entries)]
    return "\n".join(([f"{name}:", ""] if name != "Args" else []) + lines)


if __name__ == "__main__":
    sys.exit(main())
