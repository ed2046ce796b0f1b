"""The embedding approach as a fallback, for customers that no language model can score.

Knows records and the embedding approach; knows nothing of language models, files or calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptpredict.approach import Probabilities
from promptpredict.encoders import Embedder
from promptpredict.errors import PromptPredictError
from promptpredict.labelled import label_shares
from promptpredict.prompt import PromptFile
from promptpredict.rates import Rate, shares_of
from promptpredict.records import Record


@dataclass
class Fallback:
    """Scores records by sentence embeddings; fitted on labelled ones when first needed.

    With a known ``base_rate`` of the positive label, or of every label, its probabilities are moved
    from the labelled records' shares to it, as those of the language model are.
    """

    prompt_file: PromptFile
    labelled: Sequence[Record]
    embedder: Embedder
    seed: int
    base_rate: Rate | None = None
    _fitted: Any = None

    def score(self, records: Sequence[Record]) -> tuple[dict[int, list[float]], dict[int, str]]:
        """Return index → probabilities in the prompt file's order, and index → fault.

        Of a regression: index → expectation, lower and upper end.
        """
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            try:
                self.prompt_file.render_customer(record)
            except PromptPredictError as error:
                faults[index] = str(error)
        rows = [index for index in range(len(records)) if index not in faults]
        if not rows:
            return {}, faults
        if self._fitted is None:
            self._fitted = self._fit()
        some = [records[index] for index in rows]
        if self.prompt_file.front.bins:
            table = self._fitted.predict_interval(some)
        else:
            columns = [list(self._fitted.classes_).index(key) for key in self.prompt_file.words]
            table = self._to_rate(self._fitted.predict_proba(some)[:, columns])
        return {index: row.tolist() for index, row in zip(rows, table, strict=True)}, faults

    def _to_rate(self, table: Probabilities) -> Probabilities:
        if self.base_rate is None:
            return table
        from promptpredict.heads import moved

        before = label_shares(self.prompt_file, self.labelled) or {}
        front = self.prompt_file.front
        after = shares_of(self.base_rate, list(self.prompt_file.words), front.positive)
        return moved(table, np.array(list(before.values())), np.array(after))

    def _fit(self) -> Any:
        from promptpredict.baselines import EmbeddingClassifier
        from promptpredict.binning import targets_of
        from promptpredict.regressors import EmbeddingRegressor

        kind: Any = EmbeddingClassifier
        y: Any = [self.prompt_file.label_of(record.label) for record in self.labelled]
        if self.prompt_file.front.bins:
            kind, y = EmbeddingRegressor, targets_of(self.labelled)
        approach = kind(self.prompt_file, encoder=self.embedder, random_state=self.seed)
        return approach.fit(list(self.labelled), y)
