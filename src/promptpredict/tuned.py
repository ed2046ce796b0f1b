"""The approach that trains: an adapter of the language model on the labelled rows.

Knows scikit-learn's contract; knows nothing of splits, metrics or how an adapter is made.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from promptpredict.adapters import CONFIG, WEIGHTS, Tuning, check_peft
from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.manylabels import cross_calibrated
from promptpredict.models import Source, pick
from promptpredict.reading import check_scored
from promptpredict.records import Record
from promptpredict.sameness import customers_of
from promptpredict.scores import LanguageModel, Scores
from promptpredict.scoring import score_records

DEFAULT = Tuning()


class TunedClassifier(Approach):
    """Scores label words with a language model that was trained on them, by an adapter (LoRA).

    ``model`` is a name; an object with ``score`` stands for the model of its name, as its weights may
    be packed and others may use them. ``tuning`` says how the adapter is trained. A share of the rows
    is held out: they say when to stop, and calibrate. 16 rows are needed, two of each label.
    ``keep`` is a folder for adapters: one that was trained there on the same rows in the same way is
    taken, and one that was cut off is resumed.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        tuning: Tuning = DEFAULT,
        keep: str | Path | None = None,
        random_state: int | None = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.tuning = tuning
        self.keep = keep
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        """Train an adapter; its files are kept as bytes, so that it can be pickled."""
        check_peft(type(self).__name__)
        from promptpredict.making import Asked, made_before, make_adapter

        self.__dict__.pop("language_model", None)  # that of an earlier fit
        self.source_ = self._source()
        with TemporaryDirectory() as folder:
            asked = Asked(
                source=self.source_,
                prompt_file=self.prompt_file_,
                records=records,
                tuning=self.tuning,
                seed=self.random_state or 0,
                out=Path(folder) / "adapter",
            )
            if self.keep is not None:
                asked = replace(asked, out=Path(self.keep) / asked.key)
            made = made_before(asked) or make_adapter(asked, quiet=True)
            self.files_ = {name: (asked.out / name).read_bytes() for name in (WEIGHTS, CONFIG)}
        self.card_, self.language_model = made.card, made.lm
        self.held_ = made.held, made.logprobs

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the calibrated probability of each class, (n, k).

        Raises UnscoredError where a row could not be scored. ``scores_`` and ``tokens_`` are what
        was read for it.
        """
        records = self.records(X)
        self.scores_: Scores = score_records(self.language_model, self.prompt_file_, records)
        check_scored(records, self.scores_.faults)
        self.tokens_ = float(self.scores_.tokens)
        return self.by_class(self.card_.calibration.apply(self.scores_.logprobs))

    def _held_out(self, records: list[Record]) -> Probabilities:
        """Return what is said of the rows that were held out, calibrated on others of them; else NaN."""
        rows, logprobs = self.held_
        held = [records[row] for row in rows]
        found = np.full((len(records), len(self.classes_)), np.nan)
        said = cross_calibrated(
            logprobs,
            [self.prompt_file_.label_of(record.label) for record in held],
            labels=list(self.prompt_file_.words),
            positive=self.prompt_file_.front.positive,
            groups=customers_of(self.prompt_file_, held),
        )
        found[rows] = self.by_class(said)
        return found

    def _source(self) -> Source:
        return pick(self.model if isinstance(self.model, str) else self.model.name)

    @cached_property
    def language_model(self) -> LanguageModel:
        """The language model with the adapter in its weights, loaded again after a pickle."""
        from promptpredict.loading import load_language_model

        with TemporaryDirectory() as folder:
            for name, content in self.files_.items():
                (Path(folder) / name).write_bytes(content)
            source = replace(self.source_, adapter=Path(folder), digest=self.card_.adapter)
            return load_language_model(source)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the weights out of a pickle, but for the adapter's own."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "language_model"}
