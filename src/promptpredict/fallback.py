"""The embedding approach as a fallback, for customers that no language model can score.

Knows records and the embedding approach; knows nothing of language models, files or calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptpredict.encoders import Embedder
from promptpredict.errors import PromptPredictError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record


@dataclass
class Fallback:
    """Scores records by sentence embeddings; fitted on labelled ones when first needed."""

    prompt_file: PromptFile
    labelled: Sequence[Record]
    embedder: Embedder
    seed: int
    _fitted: Any = None

    def score(self, records: Sequence[Record]) -> tuple[dict[int, list[float]], dict[int, str]]:
        """Return index → probabilities in the prompt file's order, and index → fault."""
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            try:
                self.prompt_file.render_customer(record)
            except PromptPredictError as error:
                faults[index] = str(error)
        rows = [index for index in range(len(records)) if index not in faults]
        if not rows:
            return {}, faults
        approach = self._approach()
        table = approach.predict_proba([records[index] for index in rows])
        columns = [list(approach.classes_).index(key) for key in self.prompt_file.words]
        found = {index: row[columns].tolist() for index, row in zip(rows, table, strict=True)}
        return found, faults

    def _approach(self) -> Any:
        if self._fitted is None:
            from promptpredict.baselines import EmbeddingClassifier

            y = [self.prompt_file.label_of(record.label) for record in self.labelled]
            self._fitted = EmbeddingClassifier(
                self.prompt_file, encoder=self.embedder, random_state=self.seed
            ).fit(list(self.labelled), y)
        return self._fitted
