"""Which of many wordings is best, by labels and by agreement."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from promptpredict.choosing import (
    Estimate,
    Pairs,
    _estimate,
    _with_noise,
    best_first,
    choose,
    consensus,
    oriented,
    ranks,
    shrunk,
)
from promptpredict.errors import DataError


def customers(n, strengths, *, noise=1.0, seed=0, shift=0.0):
    """Return log-odds (n, m) of wordings that know a mood so well, and who is in a bad one."""
    rng = np.random.default_rng(seed)
    mood = rng.normal(size=n)
    hits = mood + rng.normal(size=n) * 0.5 > shift
    return mood[:, None] * strengths + rng.normal(size=(n, len(strengths))) * noise, hits


STRENGTHS = np.array([2.0, 1.5, 1.5, 1.0, 0.5, 0.0, -1.0, 1.0])  # the last is the own wording


# ------------------------------------------------------------------------------- what is computed


def test_ranks_put_ties_at_their_mean():
    found = ranks(np.array([[1.0, 5.0], [1.0, 5.0], [0.0, 5.0], [9.0, 5.0]]))
    assert found[:, 0] == pytest.approx(np.array([0, 0, -1, 1]) * np.sqrt(2))
    assert found[:, 1].tolist() == [0, 0, 0, 0]


def test_roc_auc_is_scikit_learns_weighted_or_not():
    table, hits = customers(40, STRENGTHS)
    table = np.round(table)  # ties
    pairs = Pairs(table, hits)
    rng = np.random.default_rng(1)
    p, q = rng.integers(0, 3, pairs.shape[0]), rng.integers(0, 3, pairs.shape[1])
    weights = np.zeros(len(hits))
    weights[hits], weights[~hits] = p, q
    for column in range(table.shape[1]):
        plain = roc_auc_score(hits, table[:, column])
        assert pairs.auc(*map(np.ones, pairs.shape))[column] == pytest.approx(plain, abs=1e-6)
        weighted = roc_auc_score(hits, table[:, column], sample_weight=weights)
        assert pairs.auc(p, q)[column] == pytest.approx(weighted, abs=1e-6)


def test_the_consensus_has_the_sign_of_the_majority():
    table, hits = customers(200, np.array([-3.0, 1.0, 1.0, 1.0, 1.0]))
    assert roc_auc_score(hits, consensus(table)) > 0.8
    assert roc_auc_score(hits, consensus(-table)) < 0.2


def test_noisy_values_are_drawn_to_the_line_over_the_agreement_and_sure_ones_stay():
    value, agreed = np.array([0.5, 0.9, 0.7, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    assert shrunk(value, np.full(4, 1e-9), agreed) == pytest.approx(value, abs=1e-6)
    assert shrunk(value, np.full(4, 1e9), agreed) == pytest.approx([0.7, 0.7, 0.8, 0.8])
    # a variance as large as the true spread's, .03 squared, halves a deviation
    assert shrunk(value, np.full(4, 0.0009), agreed) == pytest.approx([0.6, 0.8, 0.75, 0.85])
    noise = np.array([1e-9, 0.0009, 1e9, 1e9])
    assert shrunk(value, noise, agreed) == pytest.approx([0.5, 0.8, 0.8, 0.8], abs=1e-6)
    assert best_first(value, np.full(4, 1e9), agreed) == [3, 2, 1, 0]


def test_of_equals_the_own_wording_comes_first():
    """It is the last column: nothing speaks for another, and few labels tie often."""
    same = np.full(4, 0.75)
    assert best_first(same, np.full(4, 0.01), np.ones(4)) == [3, 0, 1, 2]


def test_the_noise_of_a_deviation_is_delongs():
    """Of a wording and its reverse, whose mean is sure, it is that of the ROC AUC itself."""
    table, hits = customers(30, np.array([1.0]), shift=0.5)
    value, noise = _with_noise(Pairs(np.hstack([table, -table]), hits), np.zeros(2))
    assert value.sum() == pytest.approx(1)
    above, below = table[hits, 0], table[~hits, 0]
    by_hit = [np.mean(each > below) for each in above]
    by_miss = [np.mean(each < above) for each in below]
    delong = np.var(by_hit, ddof=1) / len(above) + np.var(by_miss, ddof=1) / len(below)
    assert noise == pytest.approx([delong, delong], rel=1e-5)
    # what agrees alike deviates alike, and two points lie on any line
    assert _with_noise(Pairs(np.hstack([table, -table]), hits), np.arange(2.0))[1].max() < 1e-6


def test_where_all_agree_alike_values_are_drawn_to_their_mean():
    assert shrunk(np.array([0.5, 0.9]), np.full(2, 1e9), np.ones(2)) == pytest.approx([0.7, 0.7])


# --------------------------------------------------------------------------------- with labels


def test_with_many_labels_the_best_is_the_best():
    table, hits = customers(400, STRENGTHS)
    choice = choose(table, hits)
    assert choice.order[0] == 0
    assert choice.order[-1] == 6
    assert choice.ensemble == choice.order[:5]
    assert choice.outcome == "bad"
    assert choice.agreement[6] < -0.5 < 0.5 < choice.agreement[7]
    found = choice.labelled
    assert [each.value for each in found.auc] == pytest.approx(
        [roc_auc_score(hits, column) for column in table.T]
    )
    assert all(each.low < each.value < each.high for each in found.auc)
    assert found.best.value == pytest.approx(found.auc[0].value, abs=0.015)
    assert found.gain.value == pytest.approx(found.auc[0].value - found.auc[7].value, abs=0.015)
    own = roc_auc_score(hits, table[:, 7])
    together = roc_auc_score(hits, table[:, list(choice.ensemble)].mean(axis=1))
    assert found.ensemble.value == pytest.approx(together, abs=0.015)
    assert found.ensemble_gain.value == pytest.approx(together - own, abs=0.015)


def test_the_same_seed_makes_the_same_choice():
    table, hits = customers(40, STRENGTHS)
    first, again, other = (choose(table, hits, seed=seed).labelled for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_the_best_of_many_is_worth_is_not_what_it_has():
    """100 wordings that know nothing: the best of them on 32 labels looks good, and is not."""
    bests, worths = [], []
    for seed in range(10):
        table, hits = customers(32, np.zeros(101), seed=seed)
        found = choose(table, hits, outcome="bad").labelled
        bests.append(max(each.value for each in found.auc))
        worths.append(found.best.value)
    assert np.mean(bests) > 0.72
    assert np.mean(worths) == pytest.approx(0.5, abs=0.06)


def test_agreement_helps_where_labels_are_few():
    """Wordings half of which know the mood: 16 labels alone are misled by the others."""
    regret = {"alone": [], "drawn": []}
    for seed in range(20):
        strengths = np.r_[np.full(20, 1.0), np.zeros(80), 1.0]
        table, hits = customers(16, strengths, seed=seed)
        if min(hits.sum(), (~hits).sum()) < 2:
            continue
        choice = choose(table, hits)
        alone = np.argmax([each.value for each in choice.labelled.auc])
        regret["alone"].append(strengths[alone])
        regret["drawn"].append(strengths[choice.order[0]])
    assert np.mean(regret["drawn"]) > np.mean(regret["alone"])
    assert np.mean(regret["drawn"]) > 0.9


def test_a_perfect_order_of_few_records_proves_little():
    """Every resample of it is perfect, too; of 10 and 10, Newcombe's interval begins at .8.

    At .8 a spread is 1.96 * sqrt(.8 * .2 / 100 * (1 + 9 * (.2 / 1.2 + .8 / 1.8))) = .2.
    """
    table, hits = np.repeat(np.arange(20.0)[:, None], 4, axis=1), np.arange(20) >= 10
    found = choose(table, hits).labelled
    perfect = Estimate(1.0, pytest.approx(0.8, abs=1e-3), 1.0)
    assert found.best == found.ensemble == found.auc[0] == perfect
    assert (found.gain.low, found.gain.high) == (0, 0)


def test_intervals_hold_the_truth():
    """A wording whose ROC AUC is .8 throughout, on 200 draws of 40 records."""
    held = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        hits = np.arange(40) < 12
        one = rng.normal(size=40) + 1.19 * hits
        low, high = (
            getattr(_estimate(roc_auc_score(hits, one), 12, 28), at) for at in ("low", "high")
        )
        held.append(low <= 0.8 <= high)
    assert 0.92 <= np.mean(held) <= 0.99


def test_too_few_of_a_label():
    table, _ = customers(5, STRENGTHS)
    with pytest.raises(DataError) as error:
        choose(table, np.array([True, False, False, False, False]))
    assert str(error.value) == (
        "1 of 5 labelled records have the positive label; "
        "a choice needs two of either label (--unlabelled needs none)"
    )


# ------------------------------------------------------------------------------- which outcome


def test_the_outcome_is_found_by_labels_once_for_all_wordings():
    table, hits = customers(100, STRENGTHS)
    good = np.hstack([-table[:, :-1], table[:, -1:]])  # the words' good outcome is positive
    bad, turned = choose(table, hits), choose(good, hits)
    assert (bad.outcome, turned.outcome) == ("bad", "good")
    assert turned.order == bad.order
    assert turned.agreement == pytest.approx(bad.agreement)
    assert turned.labelled == bad.labelled
    assert oriented(good, "good") == pytest.approx(table)
    assert oriented(table, "bad") == pytest.approx(table)


def test_the_outcome_is_found_without_labels_by_the_own_wording():
    table, hits = customers(100, STRENGTHS)
    assert choose(table).outcome == "bad"
    table[:, -1] *= -1
    assert choose(table).outcome == "good"
    assert choose(table, hits).outcome == "bad"  # labels know better


def test_the_outcome_that_is_given_holds():
    table, hits = customers(100, STRENGTHS)
    choice = choose(table, hits, outcome="good")
    assert choice.outcome == "good"
    assert choice.labelled.auc[0].value < 0.2
    assert choice.agreement[-1] < 0 < choice.agreement[0]
    assert choose(table, outcome="good").outcome == "good"


def test_where_the_outcome_is_uncertain_its_choice_counts_as_one():
    """Few labels that say little: turning all wordings by them is luck, too."""
    given, found = [], []
    for seed in range(10):
        table, _ = customers(24, np.ones(21), seed=seed)
        hits = np.random.default_rng(seed).permutation(np.arange(24) < 12)  # another matter
        choice = choose(table, hits)
        found.append(choice.labelled.ensemble.value)
        given.append(choose(table, hits, outcome=choice.outcome).labelled.ensemble.value)
    assert np.mean(found) < np.mean(given) - 0.03


# ------------------------------------------------------------------------------- without labels


def test_without_labels_agreement_chooses_and_nothing_is_turned():
    table = customers(500, STRENGTHS)[0]
    choice = choose(table)
    assert choice.labelled is None
    assert choice.order == tuple(np.argsort(-choice.agreement, kind="stable"))
    assert choice.order[0] in (0, 1, 2)
    assert choice.order[-1] == 6
    assert choice.agreement[6] < -0.5
    assert 6 not in choice.ensemble
