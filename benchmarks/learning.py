"""Measure few-shot on tables that a language model has never seen, before and after an adapter.

    python benchmarks/learning.py --data DIR [--table NAME ...] [--adapter DIR ...] [--scale 1.0,0.5]
        [--shots 4,16] [--test 300] [--seeds 5] [--work DIR] [--out FILE.json]

Reads DIR/NAME.csv.gz and prompts/NAME.jinja beside this script, of every table with two labels or of those
named. The same test rows (stratified, seed 0) behind no shots and behind each number of them: each
seed draws labelled rows of those that do not test, and the first of each label in turn are balanced
shots, so that the 4 of a seed are among its 16. Every prompt is rendered once, and read by the model as it is (`base`)
and with each adapter in its weights, at each --scale: lora_alpha times so much, 1 is the adapter as it
is. An adapter is a folder with adapter_model.safetensors and adapter_config.json; a card is not asked
for. Nothing is calibrated: that moves no customer past another.

ROC AUC, mean over the seeds, with the 95 % interval over test rows; the paired difference of each
adapter from base, its interval and its word, alone and not corrected for the number of tables. The mean
over tables has the interval of these tables, whose test rows are drawn anew: it says nothing of other
tables, which the number of tables better and worse and the worst do. With --work what was read is kept in
DIR/NAME.sqlite, and a run that was cut off goes on. Prints a line for each table, number of shots and
way, and all as one JSON line at the end, which --out writes to a file too:

    {"schema": 1, "model": str, "dtype": str, "hardware": str, "test": int, "seeds": int,
     "shots": [0, 4, 16], "seconds": int,
     "ways": [{"way": "base" or NAME or "NAME x0.5", "adapter": digest or null, "scale": float}],
     "rows": [{"table", "shots", "way", "value", "sd": over the seeds, "low", "high",
               "truncated": prompts cut, mean over the seeds}],
     "differences": [{"table", "shots", "way", "against": "base", "value", "low", "high", "verdict"}],
     "means": [{"shots", "way", "value", "tables": int} of base, of others also
               "against", "difference", "low", "high", "verdict", "better": tables, "worse": tables,
               "worst": {"table", "value"}: of the differences]}
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from gains import BASE, Figure, Key, figure_of, gap_of, summed, told
from promptpredict import calibration
from promptpredict.about import hardware
from promptpredict.adapters import CONFIG, WEIGHTS, digest
from promptpredict.labelled import read_labelled
from promptpredict.ledger import Ledger
from promptpredict.lm import CausalLM
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.models import Source, find, here
from promptpredict.prompt import PromptFile
from promptpredict.reading import check_scored
from promptpredict.records import Record
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels, LanguageModel
from promptpredict.scoring import render_records
from promptpredict.shots import Shots
from promptpredict.splits import Rows, split

HERE = Path(__file__).parent
TABLES = sorted(path.stem for path in (HERE / "prompts").glob("*.jinja") if "-" not in path.stem)
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Measure the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--table", action="append", choices=TABLES, help="all, if not given")
    parser.add_argument("--adapter", type=Path, action="append", default=[], help="its folder")
    parser.add_argument("--scale", default="1", help="of the adapters, several by commas")
    parser.add_argument("--shots", default="4,16", help="numbers of shots, by commas")
    parser.add_argument("--test", type=int, default=300, help="test rows of a table")
    parser.add_argument("--seeds", type=int, default=5, help="draws of labelled rows")
    parser.add_argument("--work", type=Path, help="folder of the ledgers; none is kept without")
    parser.add_argument("--out", type=Path, help="file of the JSON; only printed without")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    begun = time.perf_counter()
    check(parser, options)
    source = find(options.model)
    tables = [read(name, options, number) for number, name in enumerate(options.table or TABLES)]
    ways = list(loaded(source, options.adapter, options.scale))
    figures: dict[Key, Figure] = {}
    for table in tables:
        for count in (0, *options.shots):
            for way, figure in measured(table, count, ways, options):
                figures[table.name, count, way] = figure
    names = [table.name for table in tables]
    result = summed(figures, names, (0, *options.shots), [way.name for way in ways])
    text = json.dumps(
        {
            "schema": 1,
            "model": source.name,
            "dtype": str(ways[0].lm.model.dtype).removeprefix("torch."),
            "hardware": hardware(),
            "test": options.test,
            "seeds": options.seeds,
            "shots": [0, *options.shots],
            "seconds": round(time.perf_counter() - begun),
            "ways": [way.about for way in ways],
        }
        | result
    )
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


# -- what is given -----------------------------------------------------------------------------


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Type the lists, and end with one line for what cannot be, before anything is read."""
    options.scale = _numbers(parser, "--scale", options.scale, float)
    options.shots = _numbers(parser, "--shots", options.shots, int)
    for name in ("test", "seeds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}; possible: 1 or more")
    _check_adapters(parser, options.adapter)
    for name in options.table or TABLES:
        if not (options.data / f"{name}.csv.gz").is_file():
            parser.error(f"--data {options.data} holds no {name}.csv.gz; possible: --table")
    if options.out and not options.out.resolve().parent.is_dir():
        parser.error(f"--out {options.out}: its folder is not there; possible: one that is")
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)


def _check_adapters(parser: argparse.ArgumentParser, folders: Sequence[Path]) -> None:
    for folder in folders:
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                parser.error(
                    f"--adapter {folder} holds no {name}; possible: a folder with {CONFIG} and {WEIGHTS}"
                )
    names = [BASE, *(folder.resolve().name for folder in folders)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        parser.error(f"two ways are called '{twice}'; possible: adapters in folders of other names")


def _numbers(parser: argparse.ArgumentParser, name: str, given: str, kind: type) -> list[Any]:
    """Return numbers above 0 by commas, each once."""
    try:
        found = [kind(each) for each in given.split(",")]
    except ValueError:
        found = [0]
    if not all(0 < each < math.inf for each in found):
        what = "whole numbers" if kind is int else "numbers"
        parser.error(f"{name} {given}; possible: {what} above 0, by commas")
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Table:
    """A table of customers: who tests, and for each seed the labelled rows that shots are taken from."""

    name: str
    number: int  # among those measured
    file: PromptFile
    tested: list[Record]
    truth: list[str]
    pools: list[list[Record]]


def read(name: str, options: argparse.Namespace, number: int) -> Table:
    """Read a table, and part it."""
    file = PromptFile.load(HERE / "prompts" / f"{name}.jinja")
    records, _ = read_labelled(str(options.data / f"{name}.csv.gz"), file)
    y = [file.label_of(record.label) for record in records]
    train, test = split(y, max_test=options.test, seed=0)
    pools = []
    for seed in range(options.seeds):
        # Twice as many as are shown: a shot that is the test row itself is replaced.
        rows = pool_of(y, train, max(options.shots), seed)
        pools.append([records[row] for row in rows])
    file = file.placed([records[row] for row in train])
    tested, truth = [records[row] for row in test], [y[row] for row in test]
    return Table(name, number, file, tested, truth, pools)


def pool_of(y: Sequence[str], train: Rows, most: int, seed: int) -> list[int]:
    """Return ``most`` rows of each label where there are so many, in an order of chance."""
    found, counts = [], Counter[str]()
    for row in np.random.default_rng(seed).permutation(train).tolist():
        counts[y[row]] += 1
        if counts[y[row]] <= most:
            found.append(row)
    return found


@dataclass(frozen=True)
class Way:
    """The language model as it is, or with an adapter in its weights."""

    name: str
    source: Source
    scale: float
    lm: CausalLM

    @property
    def about(self) -> dict[str, Any]:
        """What tells it from the others."""
        return {"way": self.name, "adapter": self.source.digest or None, "scale": self.scale}

    def memo(self, path: Path | None) -> LanguageModel:
        """Return the model, behind a ledger where there is one."""
        if path is None:
            return self.lm
        identity = f"{here(self.source).fingerprint} {self.lm.model.dtype}"
        return Memo(self.lm, identity=identity, ledger=Ledger(path))


def loaded(source: Source, adapters: Sequence[Path], scales: Sequence[float]) -> Iterator[Way]:
    """Yield the model as it is, and with each adapter at each scale."""
    yield Way(BASE, source, 1.0, load_language_model(source, say=print))
    for adapter in adapters:
        name = adapter.resolve().name
        for scale in scales:
            # Merged when it is loaded: the copy is not needed behind that.
            with scaled(adapter, scale) as folder:
                tuned = replace(source, adapter=folder, digest=digest(folder))
                lm = load_language_model(tuned)
            yield Way(name if scale == 1 else f"{name} x{scale:g}", tuned, scale, lm)


@contextmanager
def scaled(adapter: Path, scale: float) -> Iterator[Path]:
    """Give the folder of an adapter whose effect is so many times as large; itself for 1."""
    if scale == 1:
        yield adapter
        return
    with TemporaryDirectory() as place:
        shutil.copy(adapter / WEIGHTS, place)
        config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
        config["lora_alpha"] *= scale
        # Modules with an alpha of their own, which stands in place of the common one.
        own = config.get("alpha_pattern") or {}
        config["alpha_pattern"] = {module: alpha * scale for module, alpha in own.items()}
        (Path(place) / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        yield Path(place)


# -- what is measured --------------------------------------------------------------------------


def measured(
    table: Table, count: int, ways: Sequence[Way], options: argparse.Namespace
) -> Iterator[tuple[str, Figure]]:
    """Yield each way's figure of a table behind so many shots, and print it."""
    draws = [rendered(table, count, seed) for seed in range(options.seeds if count else 1)]
    figures: dict[str, Figure] = {}
    for way in ways:
        lm = way.memo(options.work / f"{table.name}.sqlite" if options.work else None)
        said = [scored(table, lm, each) for each in draws]
        labels, positive = list(table.file.words), table.file.front.positive
        given: dict[str, Any] = {"labels": labels, "positive": positive, "seed": table.number}
        figure = figures[way.name] = figure_of(table.truth, said, **given)
        line = figure.describe()
        if way.name != BASE:
            line += f"; {told(gap_of(way.name, [(figure, figures[BASE])]))}"
        print(f"{table.name}, {count} shots, {way.name}: {line}", flush=True)
        yield way.name, figure


def rendered(table: Table, count: int, seed: int) -> list[Prompt]:
    """Return the prompts of the test rows behind so many balanced shots."""
    shots = Shots(table.file, table.pools[seed], count, seed=None) if count else None
    prompts, faults = render_records([table.file], table.tested, shots)
    check_scored(table.tested, faults)
    return [prompt for [prompt] in prompts.values()]


def scored(table: Table, lm: LanguageModel, prompts: Sequence[Prompt]) -> tuple[Floats, int]:
    """Return label probabilities (n, k), and how many prompts were cut."""
    scores = lm.score(prompts, Labels(table.file.words, table.file.front.join))
    check_scored(table.tested, scores.faults)
    plain = calibration.none(list(table.file.words), table.file.front.positive)
    return plain.apply(scores.logprobs), int(scores.truncated.sum())


if __name__ == "__main__":
    main()
