"""The cascade against its slow twin: both approaches asked of everybody, and one chosen by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from compared import customers, markers, prompt_file
from fakes import FakeEncoder, FakeLM
from promptpredict import estimators
from promptpredict.band import Band
from promptpredict.baselines import PriorClassifier, StructuredClassifier, TextClassifier
from promptpredict.calibration import fit_platt
from promptpredict.cascade import CascadeClassifier
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.manylabels import cross_calibrated, fit_vector
from promptpredict.records import Record
from promptpredict.stacking import Stacker

SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
THREE = """\
---
target: outcome
task: multiclass
labels: {waits: [so], stays: [glad], leaves: [angry]}
id: id
text: [feedback]
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.value }} {% endfor %}
{{ customer.feedback }}{% endblock %}
{% block question %}And now?{% endblock %}
"""


PROMPT_OF = """\
---
task: binary
target: outcome
labels: {{stays: [glad], leaves: [angry]}}
positive: leaves
id: id
---
{{% block system %}}You judge.{{% endblock %}}
{{% block customer %}}{}{{% endblock %}}
{{% block question %}}And now?{{% endblock %}}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


class SharedLM(FakeLM):
    """One for all clones, so that everything that was asked can be looked at."""

    def __sklearn_clone__(self):
        return self


def rows(n, **given):
    """Labelled records and their labels; the words of a third say the opposite of what they do."""
    found = customers(n, **{"clear": 0.7, **given})
    return found, [record.label for record in found]


def cascade(lm=None, *, text=None, **given):
    file = prompt_file(text) if text else prompt_file()
    named = {
        "cheap": StructuredClassifier(file),
        "expensive": ProbeClassifier(file, model=lm or SharedLM()),
    }
    return CascadeClassifier(file, **{**named, **given})


def three_rows(n):
    """The same customers, of whom every third waits and has no words for it."""
    found, y = rows(n)
    return found, ["waits" if row % 3 == 0 else label for row, label in enumerate(y)]


# -- the band --------------------------------------------------------------------------------------


def slow_wrong(p, others):
    """Pair by pair: how many of a label and of the rest are expected to stand the wrong way round."""
    total = 0.0
    for k in range(len(p)):
        own, pairs = 0.0, 0.0
        for other in others:
            tie = 0.5 if other[k] == p[k] else 0.0
            own += p[k] * (1 - other[k]) * (1.0 if other[k] > p[k] else tie)
            own += (1 - p[k]) * other[k] * (1.0 if other[k] < p[k] else tie)
            pairs += other[k]
        total += own / (pairs * (len(others) - pairs))
    return total


@pytest.mark.parametrize("k", [2, 3])
def test_around_the_ranking_against_pairs_one_by_one(k):
    rng = np.random.default_rng(k)
    own, said = rng.dirichlet(np.arange(1, k + 1), 30).round(1), rng.dirichlet([1] * k, 20).round(1)
    own /= own.sum(axis=1, keepdims=True)
    band = Band(own)
    found = band.undecided(said)
    assert found == pytest.approx([slow_wrong(p, own) for p in said])
    counts = own.sum(axis=0), (1 - own).sum(axis=0)
    others = [np.delete(own, row, axis=0) for row in range(30)]
    without = []
    for row, rest in enumerate(others):
        left = rest.sum(axis=0), (1 - rest).sum(axis=0)
        pairs = [
            slow_wrong(own[row, [c, c]], rest[:, [c, c]]) / 2 * left[0][c] * left[1][c]
            for c in range(k)
        ]
        without.append(sum(np.array(pairs) / counts[0] / counts[1]))
    assert band.undecided_ == pytest.approx(30 / 29 * np.array(without))


def test_around_the_probability_it_is_the_entropy():
    said = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    found = Band(said, "probability").undecided(said)
    expected = [-sum(p * np.log(p) for p in row if p) for row in said]
    assert found == pytest.approx(expected)


def knows_more(share, n=20000, seed=0):
    """Customers, of whom ``share`` leave: what a cheap approach says of them, and one that knows more."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < share
    cheap = np.log(share / (1 - share)) + rng.normal(size=n) + y - 0.5
    expensive = cheap + 1.5 * (rng.normal(size=n) + 1.5 * y) - 1.125
    return y, cheap, expensive


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5])
def test_asking_of_the_band_gains_more_than_asking_of_others(share):
    """ROC AUC with a quarter asked: at least that of any other quarter one might think of."""
    y, cheap, expensive = knows_more(share)
    p = 1 / (1 + np.exp(-cheap))
    said = np.stack([1 - p, p], axis=1)

    def auc(rows):
        return roc_auc_score(y, np.where(rows, expensive, cheap))

    def quarter(values):
        return auc(values >= np.quantile(values, 0.75))

    found = auc(Band(said[:400]).holds(said, 0.25))
    base = -np.abs(cheap - np.log(share / (1 - share)))
    anybody = np.random.default_rng(1).random(len(y))
    slack = 0.004  # of the 400 rows that the band was learned from
    assert found > quarter(Band(said[:400], "probability").undecided(said)) - slack
    assert found > quarter(base) - slack
    assert found > quarter(anybody) + 0.005


@pytest.mark.parametrize("around", ["ranking", "probability"])
@pytest.mark.parametrize("share", SHARES)
def test_the_band_holds_a_share_of_the_rows_that_it_was_learned_from(share, around):
    own = np.random.default_rng(1).dirichlet([1, 2], 40)
    band = Band(own, around)
    assert (band.undecided_ >= band.begins(share)).sum() == 40 * share


def test_where_nothing_is_known_it_holds_everybody_unless_it_holds_nobody():
    band, said = Band(np.empty((0, 2))), np.array([[0.1, 0.9]])
    assert band.holds(said, 0.1).all()
    assert not band.holds(said, 0.0).any()


@pytest.mark.parametrize("around", ["ranking", "probability"])
def test_of_rows_that_are_all_sure_the_band_is_a_number(around):
    own = np.tile([[0.0, 1.0]], (5, 1))
    band = Band(own, around)
    assert np.isfinite(band.undecided_).all()
    assert np.isfinite(band.undecided(np.array([[0.3, 0.7], [0.0, 1.0]]))).all()


# -- against the slow twin -------------------------------------------------------------------------


def slow(text, share, around, labelled, y, tested):
    """Ask the expensive approach of everybody, then choose row by row."""
    file = prompt_file(text) if text else prompt_file()
    cheap, expensive = StructuredClassifier(file), ProbeClassifier(file, model=FakeLM())
    classes, said, own = np.unique(y), [], []
    keys = classes.tolist()
    two = len(keys) == 2
    given = {"labels": keys, "positive": "leaves" if two else None}
    for approach in (cheap, expensive):
        unseen = np.log(approach.cross_fit(labelled, y))
        raw = np.log(approach.predict_proba(tested))
        fitted = fit_platt(unseen, y, **given) if two else fit_vector(unseen, y, labels=keys)
        said.append(fitted.apply(raw))
        own.append((fitted.apply(unseen), cross_calibrated(unseen, y, **given)))
    columns = np.array([keys.index(label) for label in y])
    stacker = Stacker().fit([each[1] for each in own], columns, 0)
    everybody = stacker.predict_proba(said)
    band = Band(own[0][0], around)
    found = []
    for row in range(len(tested)):
        mine = band.undecided(said[0][[row]])[0]
        least = np.quantile(band.undecided_, 1 - share)
        asked = share == 1 or (share > 0 and mine >= least)
        found.append(everybody[row] if asked else said[0][row])
    return np.array(found)


@pytest.mark.parametrize("around", ["ranking", "probability"])
@pytest.mark.parametrize("share", SHARES)
def test_it_is_what_asking_everybody_and_choosing_gives(share, around):
    labelled, y = rows(60)
    tested, _ = rows(40, seed=1)
    found = cascade(share=share, around=around).fit(labelled, y).predict_proba(tested)
    expected = slow(None, share, around, labelled, y, tested)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_of_three_labels_too(share):
    labelled, y = three_rows(60)
    tested, _ = rows(40, seed=1)
    found = cascade(text=THREE, share=share).fit(labelled, y).predict_proba(tested)
    assert found.shape == (40, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    expected = slow(THREE, share, "ranking", labelled, y, tested)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_language_model_reads_the_band_alone(share):
    lm = SharedLM()
    labelled, y = rows(60)
    tested, _ = rows(100, seed=1)
    fitted = cascade(lm, share=share).fit(labelled, y)
    lm.asked.clear()
    band = fitted.asked(tested)
    assert not lm.asked
    fitted.predict_proba(tested)
    read = set().union(*(markers(prompt.user) for prompt in lm.asked))
    assert read == {record.row for record, one in zip(tested, band, strict=True) if one}
    assert len(lm.asked) == band.sum()
    assert abs(band.mean() - share) < 0.15


def test_a_prediction_does_not_depend_on_who_else_is_there():
    labelled, y = rows(60)
    tested, _ = rows(30, seed=1)
    fitted = cascade(share=0.5).fit(labelled, y)
    together = fitted.predict_proba(tested)
    alone = np.concatenate([fitted.predict_proba([record]) for record in tested])
    np.testing.assert_allclose(alone, together, rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_proba(tested[::-1])[::-1], together, rtol=1e-9)


def test_where_nobody_is_asked_for_no_language_model_is_needed(monkeypatch):
    def none(model):
        raise AssertionError("a language model was loaded")

    monkeypatch.setattr(estimators.ProbeClassifier, "language_model", none)
    labelled, y = rows(60)
    tested, _ = rows(30, seed=1)
    alone = StructuredClassifier(prompt_file()).fit(labelled, y).predict_proba(tested)
    found = cascade(share=0).fit(labelled, y)
    # calibrated, in the same order
    assert (
        np.argsort(found.predict_proba(tested)[:, 1]).tolist() == np.argsort(alone[:, 1]).tolist()
    )
    assert not found.asked(tested).any()
    why = (
        "share is 0.5, and the cascade was fitted with 0, without the expensive approach; possible: "
        "fit it again"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        found.at(0.5).predict_proba(tested)


def test_another_share_is_as_if_it_had_been_fitted_with_it():
    labelled, y = rows(60)
    tested, _ = rows(30, seed=1)
    fitted = cascade(share=0.25).fit(labelled, y)
    other = cascade(share=0.5).fit(labelled, y)
    np.testing.assert_array_equal(fitted.at(0.5).predict_proba(tested), other.predict_proba(tested))
    assert fitted.share == 0.25


def two_columns(n, seed):
    """Customers of whom one column tells a little and another more, by another kind of table."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.2
    values = np.stack([rng.normal(y, 1.0), rng.normal(1.6 * y, 1.0)], axis=1)
    found = [
        Record(
            row, str(row), {"id": str(row), "near": near, "far": far}, "leaves" if left else "stays"
        )
        for row, ((near, far), left) in enumerate(zip(values.tolist(), y.tolist(), strict=True))
    ]
    return found, y


def test_what_it_says_comes_true_as_often_inside_the_band_as_outside_and_a_quarter_is_worth_it():
    """Two approaches that see a column each stand for both: no language model could be so clear."""
    every = prompt_file(PROMPT_OF.format("{{ customer.near }} {{ customer.far }}"))
    seen = [prompt_file(PROMPT_OF.format(f"{{{{ customer.{name} }}}}")) for name in ("near", "far")]
    cheap, expensive = (StructuredClassifier(each) for each in seen)
    labelled, y = two_columns(400, 0)
    tested, truth = two_columns(3000, 1)
    found = CascadeClassifier(every, cheap=cheap, expensive=expensive)
    found.fit(labelled, np.where(y, "leaves", "stays"))
    told = {share: found.at(share).predict_proba(tested)[:, 0] for share in SHARES}
    for share in (0.25, 0.5):
        band = found.at(share).asked(tested)
        for rows_ in (band, ~band):
            assert abs(told[share][rows_].mean() - truth[rows_].mean()) < 0.04
        assert abs(band.mean() - share) < 0.08
    auc = {share: roc_auc_score(truth, each) for share, each in told.items()}
    assert list(auc.values()) == sorted(auc.values())
    gained = (auc[0.25] - auc[0]) / (auc[1] - auc[0])
    assert gained > 0.3  # of what asking everybody would gain


# -- rows that were fitted on ----------------------------------------------------------------------


def test_labelled_rows_are_told_by_who_had_not_seen_them():
    labelled, y = rows(60)
    both = {share: cascade(share=share) for share in (0.0, 0.25, 1.0)}
    told = {share: each.cross_fit(labelled, y) for share, each in both.items()}
    quarter = both[0.25]
    in_band = quarter.band_.undecided_ >= quarter.band_.begins(0.25)
    assert in_band.sum() == 15
    np.testing.assert_array_equal(told[0.25][in_band], told[1.0][in_band])
    np.testing.assert_array_equal(told[0.25][~in_band], told[0.0][~in_band])
    assert not np.allclose(told[0.0], told[1.0])


def test_shots_of_the_expensive_approach_are_no_rows_that_it_had_not_seen():
    """And the level is that of all rows, though the shots are balanced."""
    labelled, y = rows(64, share=0.2)
    expensive = PromptClassifier(prompt_file(), model=SharedLM(), shots=8, random_state=0)
    found = cascade(expensive=expensive, share=1.0)
    told = found.cross_fit(labelled, y)
    assert np.isnan(told).all(axis=1).sum() == 8
    tested, _ = rows(200, seed=1, share=0.2)
    leaves = found.predict_proba(tested)[:, 0]
    assert abs(leaves.mean() - 0.2) < 0.06


def test_a_label_whose_rows_are_all_shots_can_still_be_foretold():
    labelled, _ = rows(24)
    y = ["leaves"] * 2 + ["stays"] * 22
    expensive = PromptClassifier(prompt_file(), model=SharedLM(), shots=4, random_state=0)
    found = cascade(expensive=expensive, share=1.0).fit(labelled, y)
    tested, _ = rows(20, seed=1)
    assert found.predict_proba(tested).min() > 0


def test_where_a_label_has_a_single_row_everybody_is_asked_for():
    labelled, y = rows(12)
    y = ["leaves", *["stays"] * 11]
    found = cascade(share=0.25).fit(labelled, y)
    tested, _ = rows(20, seed=1)
    assert found.asked(tested).all()
    np.testing.assert_allclose(found.predict_proba(tested).sum(axis=1), 1)
    assert np.isnan(found.cross_fit(labelled, y)).all()


def test_who_says_the_same_of_everybody_is_sure_of_nobody():
    labelled, y = rows(40)
    found = cascade(cheap=PriorClassifier(prompt_file())).fit(labelled, y)
    assert found.asked(rows(20, seed=1)[0]).all()


# -- what is given ---------------------------------------------------------------------------------


def test_by_default_it_is_the_embedding_and_the_probe():
    labelled, y = rows(40)
    lm = SharedLM()
    found = CascadeClassifier(prompt_file(), model=lm, encoder=FakeEncoder()).fit(labelled, y)
    assert type(found.cheap_.approach).__name__ == "EmbeddingClassifier"
    assert type(found.expensive_.approach).__name__ == "ProbeClassifier"
    assert found.expensive_.approach.model is lm
    assert found.share == 0.25


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"share": 1.5}, "share is 1.5; possible: 0 (nobody) to 1 (everybody)"),
        ({"share": -0.1}, "share is -0.1; possible: 0 (nobody) to 1 (everybody)"),
        (
            {"around": "rankings"},
            "around is 'rankings' (nearest: 'ranking'); possible: ranking, probability",
        ),
        ({"cheap": "text"}, "cheap is 'text'; possible: 'embedding', or an approach"),
        ({"expensive": "panel"}, "expensive is 'panel'; possible: 'probe', or an approach"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_fitted(given, text, monkeypatch):
    monkeypatch.setattr(StructuredClassifier, "_fit", lambda *_: pytest.fail("fitted"))
    labelled, y = rows(40)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        cascade(**given).fit(labelled, y)


def test_a_clone_has_the_parameters_and_no_fit():
    labelled, y = rows(40)
    again = clone(cascade(cheap=TextClassifier(prompt_file()), share=0.5).fit(labelled, y))
    assert again.share == 0.5
    assert not hasattr(again, "cheap_")
