"""What the names in results mean: approaches, choices and figures, each in a sentence.

Knows names alone. The report shows what it uses of them, and the README what the approaches are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from promptpredict.results import base_of

APPROACHES: Mapping[str, str] = {
    "zero-shot": "the label words behind the prompt",
    "few-shot": "the label words behind a prompt that shows labelled customers, of each label in turn",
    "few-shot-sets": "few-shot behind eight sets of shots, averaged in log space",
    "few-shot-random": "few-shot with labelled customers drawn at random",
    "few-shot-nearest": "few-shot with the labelled customers whose text is nearest",
    "probe": (
        "logistic regression on the model's hidden states (at the answer, and their mean over the "
        "customer), with the zero-shot answer counted as two labelled rows"
    ),
    "probe-shots": "a probe behind a prompt that shows 4 labelled customers",
    "panel": (
        "logistic regression on the log-odds of the prompt file's question and its side questions"
    ),
    "tuned": "the label words, by a model trained on the labelled customers (an adapter, LoRA)",
    "embedding": "sentence embedding of the same customer and logistic regression",
    "text": "TF-IDF of the text columns and logistic regression",
    "fusion": "sentence embedding of the text beside the columns, and logistic regression",
    "fusion-mlp": "the same embedding and columns: a small neural network",
    "fusion-trees": "the embedding's principal components beside the columns: boosted trees",
    "structured": "the columns alone: logistic regression",
    "structured-trees": "the columns alone: boosted trees",
    "stack": (
        "what zero-shot, probe, structured, structured-trees, text and embedding said of rows that "
        "they had not seen, joined by logistic regression"
    ),
    "cascade": (
        "embedding for everybody, and probe joined to it for the quarter of customers who are most "
        "likely to be misranked"
    ),
    "prior": "the share of each label, for everybody",
    "chosen-with-lm": (
        "of the approaches with a language model, the one that gave the labelled rows the best "
        "probabilities without having seen them"
    ),
    "chosen-without-lm": "the same choice among the approaches without one",
    "chosen-single": "the same choice among all approaches but the stack",
}
FIGURES: Mapping[str, str] = {
    "ROC AUC": "the chance that a positive is ranked above a negative; 0.5 is a coin",
    "PR AUC": "average precision; the share of positives is a coin",
    "Brier": "mean squared error of the probability",
    "log loss": "minus the mean logarithm of the probability of what came true",
    "ECE": "how far probabilities are from how often they came true, in ten bins of equal mass",
    "accuracy": (
        "how often the most probable label is the true one; where positives are rare, to expect "
        "none does well"
    ),
    "F1": "harmonic mean of precision and recall at the threshold that the labelled rows chose",
    "lift at 10 %": "how many times as many positives the top 10 % hold as a random tenth",
    "value at 10 %": "what offers to the top 10 % save less what they cost, per 1,000 customers",
}


OF_LABELS: Mapping[str, str] = {
    "ROC AUC": "the chance that a label's own record is ranked above another, the mean over labels",
    "accuracy": "how often the most probable label is the true one",
    "balanced accuracy": "the mean over the labels of their recall, however rare they are",
    "precision": "the share of those predicted to have a label that have it",
    "recall": "the share of those that have a label that is predicted to",
    "F1": "harmonic mean of precision and recall, the mean over labels",
}  # with more than two labels, where nothing is positive
_OF_POSITIVE = ("PR AUC", "lift at 10 %", "value at 10 %")


OF_AMOUNTS: Mapping[str, str] = {
    "Spearman": "correlation of the ranks of what is expected and of what came true; 0 is chance",
    "Gini": "what of the amounts the order of the predictions gathers, over what their own order does",
    "MAE, RMSE": "mean absolute error and root of the mean squared error, in the unit of the amounts",
    "pinball loss": "how far the ends of the interval are from the quantiles that they stand for",
    "coverage of 80 %": "how many amounts lie in their interval, which is made to hold 80 %",
}


def meanings(
    approaches: Iterable[str], *, several: bool = False, amounts: bool = False
) -> dict[str, str]:
    """Return name and meaning of some approaches, then of the figures; of ``several`` labels' own.

    Approaches to ``amounts`` are the same with a ridge regression in place of a logistic one.
    """
    names = {base_of(approach) for approach in approaches}
    known = {name: text for name, text in APPROACHES.items() if name in names}
    if amounts:
        of = {name: text.replace("logistic", "ridge") for name, text in known.items()}
        of |= {"prior": "the median, for everybody"} if "prior" in of else {}
        return of | dict(OF_AMOUNTS)
    if several:
        kept = {name: text for name, text in FIGURES.items() if name not in _OF_POSITIVE}
        return known | kept | dict(OF_LABELS)
    return known | dict(FIGURES)
