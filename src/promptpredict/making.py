"""Makes an adapter of labelled records: parted, read, trained, judged, written whole.

Knows the order of things; training, merging and the folder are elsewhere. Figures and calibration
are those of the adapter as it will be used: merged into the weights, in their dtype.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict import parting
from promptpredict.adapters import (
    Card,
    Judged,
    Tuning,
    data_digest,
    digest,
    finish,
    held,
    read_card,
    unfinished,
)
from promptpredict.calibration import columns_of
from promptpredict.errors import UnscoredError
from promptpredict.labelled import label_shares
from promptpredict.lm import CausalLM
from promptpredict.loading import choose_device, load_language_model
from promptpredict.manylabels import fit_labels
from promptpredict.means import mean_of
from promptpredict.models import Source, here
from promptpredict.progress import Progress
from promptpredict.prompt import PromptFile
from promptpredict.records import Record, groups_of
from promptpredict.sameness import customers_of
from promptpredict.scores import Labels
from promptpredict.scoring import score_records
from promptpredict.training import Lessons, Training

_TOKENS = 1024  # read at once: the states of more take memory until their gradients are found
METHOD = 3  # of training: an adapter that was kept from another one is not taken
_PACKAGES = ("promptpredict", "torch", "transformers", "peft")
Say = Callable[[str], object]
Columns = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Of what an adapter is to be made, how, and where it goes; ``prompt_file`` has its places."""

    source: Source
    prompt_file: PromptFile
    records: Sequence[Record]
    tuning: Tuning
    seed: int
    out: Path
    dtype: str = "auto"
    device: str = "auto"
    redacted: bool | None = None  # as the records were read; None: not known

    @property
    def labels(self) -> list[str]:
        """The label keys, in the prompt file's order."""
        return list(self.prompt_file.words)

    @property
    def y(self) -> list[str]:
        """The label key of each record."""
        return [self.prompt_file.label_of(record.label) for record in self.records]

    @property
    def data(self) -> str:
        """A digest of the labelled records."""
        return data_digest(self.records)

    @property
    def key(self) -> str:
        """What tells the adapter from any other; versions apart, which are another machine or day."""
        base, prompt = here(self.source).base, self.prompt_file.fingerprint
        about = (METHOD, base, prompt, self.data, self.tuning, self.seed, self.dtype)
        return hashlib.sha256(repr(about).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Made:
    """An adapter: its card, the model with it to score by, and what that says of the rows held out.

    ``logprobs`` (m, k) are those of the records ``held``, not calibrated.
    """

    card: Card
    lm: CausalLM
    held: list[int]
    logprobs: npt.NDArray[np.float32]


def make_adapter(asked: Asked, say: Say = lambda _: None, *, quiet: bool = False) -> Made:
    """Train an adapter and write its folder.

    A run that was killed is resumed. ``quiet`` shows no progress. Raises DataError for too few
    labelled records, UnscoredError for some that cannot be read.
    """
    train, judges = part(asked)
    folder = unfinished(asked.out) / "adapter"
    with held(unfinished(asked.out)):
        training = _training(asked, train, judges, say)
        say(f"tuning on {len(train):,} labelled rows, {len(judges):,} are held out")
        with nullcontext() if quiet else Progress("tuning", training.left) as progress:
            training.run(*([progress.advance] if progress else []))
        training.trainee.write(folder, base=asked.source.name)
        epochs, best = training.epochs, training.kept
        before, shift = training.before, training.shift
        del training  # its weights are not needed beside those with the adapter
        lm, logprobs = _merged(asked, folder, judges)
        calibration = fit_labels(
            logprobs,
            [asked.y[row] for row in judges],
            labels=asked.labels,
            positive=asked.prompt_file.front.positive,
            level=label_shares(asked.prompt_file, asked.records),
        )
        card = Card(
            base=asked.source.name,
            model=here(asked.source).base,
            prompt_file=Path(asked.prompt_file.name).name,
            prompt=asked.prompt_file.fingerprint,
            data=asked.data,
            labels=tuple(asked.labels),
            rows=len(asked.records),
            held_out=len(judges),
            seed=asked.seed,
            columns=tuple(filter(asked.prompt_file.shows, asked.records[0].values)),
            redacted=asked.redacted,
            tuning=asked.tuning,
            epochs=epochs,
            best=best,
            **_worth(asked, judges, before + shift, logprobs + shift),
            calibration=calibration,
            adapter=digest(folder),
            versions={name: version(name) for name in _PACKAGES},
        )
        finish(asked.out, card)
    return Made(card, lm, judges, logprobs)


def made_before(asked: Asked) -> Made | None:
    """Return the adapter that is in the folder already; None where there is none."""
    if not asked.out.exists():
        return None
    card, judges = read_card(asked.out), part(asked)[1]
    assert isinstance(card, Card), f"{asked.out} was trained on episodes"
    lm, logprobs = _merged(asked, asked.out, judges)
    return Made(card, lm, judges, logprobs)


def part(asked: Asked) -> tuple[list[int], list[int]]:
    """Return which records train, and which are held out (``parting.part``)."""
    return parting.part(asked.prompt_file, asked.records, asked.tuning.held_out, asked.seed)


def _worth(
    asked: Asked, rows: Sequence[int], before: npt.ArrayLike, after: npt.ArrayLike
) -> dict[str, Any]:
    """Return what a card says of label log-probabilities (m, k) of rows without an adapter and with it."""
    records = [asked.records[row] for row in rows]
    columns = columns_of([asked.y[row] for row in rows], asked.labels)
    units = groups_of(records) or customers_of(asked.prompt_file, records)
    return {
        "before": judged(before, columns),
        "after": judged(after, columns),
        "change": mean_of(losses(after, columns) - losses(before, columns), units=units),
    }


def judged(logprobs: npt.ArrayLike, columns: Columns) -> Judged:
    """Return the figures of label log-probabilities (n, k), renormalised; ``columns`` are the labels."""
    from sklearn.metrics import roc_auc_score

    found = np.asarray(logprobs, dtype=np.float64)
    two = found.shape[1] == 2
    auc = float(roc_auc_score(columns, found[:, 1] - found[:, 0])) if two else None
    return Judged(log_loss=float(losses(found, columns).mean()), roc_auc=auc)


def losses(logprobs: npt.ArrayLike, columns: Columns) -> npt.NDArray[np.float64]:
    """Return the log loss (n,) of each row, of label log-probabilities (n, k), renormalised."""
    from scipy.special import log_softmax

    found = log_softmax(np.asarray(logprobs, dtype=np.float64), axis=1)
    own: npt.NDArray[np.float64] = -found[np.arange(len(columns)), columns]
    return own


def _merged(
    asked: Asked, folder: Path, rows: Sequence[int]
) -> tuple[CausalLM, npt.NDArray[np.float32]]:
    """Load the model with an adapter; return it, and the label log-probabilities (m, k) of rows."""
    source = replace(asked.source, adapter=folder, digest=digest(folder))
    lm = load_language_model(source, dtype=asked.dtype, device=asked.device)
    scored = score_records(lm, asked.prompt_file, [asked.records[row] for row in rows])
    return lm, scored.logprobs


def _training(asked: Asked, train: list[int], held: list[int], say: Say) -> Training:
    """Load the model, and read the prompts as it does."""
    on_cpu = choose_device(asked.device)[0] == "cpu"
    lm = load_language_model(
        asked.source,
        dtype=asked.dtype,
        device=asked.device,
        batch_tokens=_TOKENS if on_cpu else None,
        pack=False,
        say=say,
    )
    # Many small passes behind prefixes take a GPU longer than one that reads all of every prompt.
    lm.passes.share = on_cpu
    prompts = [asked.prompt_file.render(record) for record in asked.records]
    words = Labels(asked.prompt_file.words, asked.prompt_file.front.join)
    fitted, faults = lm.passes.fit(prompts, [words] * len(prompts))
    if faults:
        raise UnscoredError({asked.records[row].row: fault for row, fault in faults.items()})
    columns = columns_of(asked.y, asked.labels).tolist()
    lessons = Lessons(fitted, dict(enumerate(columns)), asked.labels, train, held)
    key = f"{asked.key} {lm.model.dtype}"
    place = unfinished(asked.out) / "checkpoint.pt"
    return Training(lm, lessons, asked.tuning, seed=asked.seed, checkpoint=place, key=key)
