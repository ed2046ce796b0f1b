"""What the approaches share that read customers with a language model: shots, scores, faults.

Knows how a model's name becomes a model, once for all estimators; knows nothing of how what was
read becomes a probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from promptpredict.encoders import Embedder, SentenceEncoder
from promptpredict.errors import UnscoredError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.scores import LanguageModel, Scores
from promptpredict.scoring import score_held_out, score_records
from promptpredict.shots import Select, Shots
from promptpredict.shotsets import ShotSets, draw_sets


class Reader:
    """What estimators share that read customers with a language model, whatever they predict."""

    prompt_file_: PromptFile
    model: str | LanguageModel
    shots: int
    shot_sets: int = 1  # of those that take no other number
    select: Select
    encoder: str | SentenceEncoder | Embedder
    random_state: int | None

    def _prepare(self, records: list[Record]) -> list[Record]:
        """Choose the shots, and return the records that are none.

        Raises ValueError for parameters that mean nothing.
        """
        if self.shots < 0:
            raise ValueError(f"shots must be 0 or more, got {self.shots}")
        if self.shot_sets < 1:
            raise ValueError(f"shot_sets must be 1 or more, got {self.shot_sets}")
        if self.shot_sets > 1 and not self.shots:
            raise ValueError(f"shot_sets is {self.shot_sets}, and shots is 0: a set needs shots")
        self.__dict__.pop("model_", None)  # that of an earlier fit
        self.shots_: Shots | ShotSets | None = None
        if not self.shots:
            return records
        self.shots_ = self._choose_from(records, min(self.shots, len(records)))
        return self.shots_.others()

    def _choose_from(self, records: list[Record], count: int) -> Shots | ShotSets:
        embed = Embedder.of(self.encoder) if self.select == "nearest" else None
        return draw_sets(
            self.prompt_file_, records, count, self.select, self.random_state, embed,
            sets=self.shot_sets,
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """Leave weights that a name stands for out of a pickle; they are loaded again."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        if isinstance(self.model, str):
            state = {name: value for name, value in state.items() if name != "model_"}
        return state

    def _scores(self, records: Sequence[Record]) -> Scores:
        """Score records behind the shots of the fit."""
        scores = score_records(self.language_model(), self.prompt_file_, records, self.shots_)
        check_scored(records, scores.faults)
        return scores

    def _scores_held_out(
        self, records: Sequence[Record], shots: Shots | ShotSets | None = None
    ) -> Scores:
        """Score labelled records by the sets of the fit's shots, or others, that do not show them."""
        scores = score_held_out(
            self.language_model(), self.prompt_file_, records, shots or self.shots_
        )
        check_scored(records, scores.faults)
        return scores

    def language_model(self) -> LanguageModel:
        """Return the language model, loaded when it is first needed."""
        if not hasattr(self, "model_"):
            self.model_ = _load(self.model) if isinstance(self.model, str) else self.model
        return self.model_


def check_scored(records: Sequence[Record], faults: Mapping[int, str]) -> None:
    """Raise UnscoredError where a record could not be scored."""
    if faults:
        raise UnscoredError({records[index].row: fault for index, fault in faults.items()})


@lru_cache(maxsize=1)
def _load(model: str) -> LanguageModel:
    """Load a language model by its name (``auto``: the choice for this machine), once for all folds."""
    from promptpredict.loading import load_language_model
    from promptpredict.models import pick

    return load_language_model(pick(model))
