"""The panel: side questions about a customer, each one log-odds, and few weights that can be read.

Knows estimators and the panel of a prompt file; knows nothing of tokens or how prompts share them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from promptpredict.approach import Approach, Probabilities, Prompted
from promptpredict.errors import PromptError
from promptpredict.heads import fit_head
from promptpredict.priors import informed
from promptpredict.reading import Reader, check_scored
from promptpredict.records import Record, groups_of
from promptpredict.scores import LanguageModel
from promptpredict.scoring import score_panel


class PanelClassifier(Reader, Approach):
    """Logistic regression on the log-odds of the prompt file's side questions.

    With two labels the file's own question is one of them, the first: it weighs as much as all the
    others together, and its answer counts as two labelled rows, so that it leads where labels are
    few. A customer's text is read once for all questions. ``questions_`` names the columns of
    ``head_.model.coef_``, the weights of log-odds that are scaled to unit variance, the own
    question's to that of all others together.
    """

    def __init__(
        self,
        prompt: Prompted = None,
        *,
        model: str | LanguageModel = "auto",
        random_state: int | None = 0,
    ) -> None:
        """Keep the parameters."""
        self.prompt = prompt
        self.model = model
        self.random_state = random_state

    def _fit(self, records: list[Record]) -> None:
        self.__dict__.pop("model_", None)  # that of an earlier fit
        panel = self.prompt_file_.front.panel
        if not panel:
            raise PromptError(
                f"{self.prompt_file_.name} has no panel; possible: side questions under 'panel'"
            )
        own = ["its own question"] if len(self.prompt_file_.words) == 2 else []
        self.questions_ = [*own, *panel]
        odds = self._odds(records)
        weight = np.ones(odds.shape[1])
        # The own question points towards the positive label, whatever a few labels say.
        believed = np.zeros((len(self.classes_), odds.shape[1]))
        if own:
            weight[0] = np.sqrt(len(panel))
            signs = [1 if key == self.prompt_file_.front.positive else -1 for key in self.keys_]
            believed[:, 0] = weight[0] * np.array(signs)
        self._scale = odds.mean(axis=0), (odds.std(axis=0) + 1e-6) / weight
        self.head_ = fit_head(
            self._scaled(odds),
            self.targets(records),
            groups=groups_of(records),
            candidates=informed((0.003, 0.03, 0.3, 3.0), believed),
            default=informed((0.1,), believed)[0],
            classes=len(self.classes_),
            seed=self.random_state or 0,
        )

    def predict_proba(self, X: Any) -> Probabilities:
        """Return the probability of each class, (n, k)."""
        odds = self._odds(self.records(X))  # first: it says so where nothing has been fitted
        return self.head_.predict_proba(self._scaled(odds))

    def _odds(self, records: Sequence[Record]) -> npt.NDArray[np.float64]:
        odds, faults = score_panel(self.language_model(), self.prompt_file_, records)
        check_scored(records, faults)
        return odds

    def _scaled(self, odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scaled: npt.NDArray[np.float64] = (odds - self._scale[0]) / self._scale[1]
        return scaled
