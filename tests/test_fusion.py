"""The heads of fusion: what each finds in text, in columns, and in what only both tell together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from fakes import FakeEncoder
from promptpredict import heads
from promptpredict.baselines import FusionClassifier
from promptpredict.columns import ColumnEncoder, shown_columns
from promptpredict.fusing import Reduced, fusion_heads, network
from promptpredict.heads import blocks, fit_head, stratified, trees
from promptpredict.prompt import PromptFile
from test_baselines import QuietEncoder, prompt_file

HEADS = ("linear", "trees", "mlp")
TOPICS = (
    ["parcel", "late", "courier", "waiting", "lost", "box"],
    ["price", "coupon", "bill", "expensive", "refund", "card"],
)


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


class Letters(FakeEncoder):
    """A dense embedding: each word has a random direction, a text the sum of its words'."""

    width = 48

    def encode(self, sentences, **_):
        found = np.zeros((len(sentences), self.width), np.float32)
        for row, text in enumerate(sentences):
            for word in text.split():
                seed = int.from_bytes(word.encode(), "big") % 2**32
                found[row] += np.random.default_rng(seed).normal(size=self.width)
        return found


def customers(n, tells, *, seed=0):
    """Customers whose outcome the topic of their text tells, or their plan, or both together."""
    rng = np.random.default_rng(seed)
    yearly, topic = rng.random(n) < 0.5, rng.integers(0, 2, n)
    said = [" ".join(rng.choice(TOPICS[each], 4, replace=False)) for each in topic]
    told = {"text": topic == 1, "columns": yearly, "both": yearly ^ (topic == 1)}[tells]
    leaves = np.where(rng.random(n) < 0.05, ~told, told)
    frame = pd.DataFrame(
        {
            "id": [f"c{row}" for row in range(n)],
            "plan": np.where(yearly, "yearly", "monthly"),
            "orders": rng.integers(1, 5, n),
            "said": said,
        }
    )
    return frame, np.where(leaves, "leaves", "stays")


def fusion(head, **given):
    return FusionClassifier(prompt_file(), head=head, encoder=Letters(), **given)


def quality(head, tells, n, **given):
    """Return the ROC AUC and the log loss on 400 other customers."""
    X, y = customers(n + 400, tells)
    found = fusion(head, **given).fit(X[:n], y[:n]).predict_proba(X[n:])
    return roc_auc_score(y[n:] == "leaves", found[:, 0]), log_loss(y[n:], found)


# No check is expected to fail; trees differ in their head alone, and take a minute more.
@parametrize_with_checks([FusionClassifier(head="mlp", encoder=QuietEncoder())])
def test_contract_of_scikit_learn(estimator, check, monkeypatch):
    monkeypatch.setattr(heads, "MIN_ROWS", 10**9)  # by the defaults alone, or it takes a minute
    check(estimator)


# -- what each finds ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 240], ids=["by the default", "by cross-validation"])
@pytest.mark.parametrize("tells", ["text", "columns"])
@pytest.mark.parametrize("head", HEADS)
def test_every_head_finds_what_one_block_tells(head, tells, n):
    auc, loss = quality(head, tells, n)
    assert auc > 0.85
    assert loss < 0.6


@pytest.mark.parametrize("seed", [0, 1])
def test_trees_and_network_find_what_only_both_tell_together(seed):
    """Late parcels make yearly customers leave, prices monthly ones: neither tells alone."""
    assert abs(quality("linear", "both", 400, random_state=seed)[0] - 0.5) < 0.1
    for head in ("trees", "mlp"):
        auc, loss = quality(head, "both", 400, random_state=seed)
        assert auc > 0.85
        assert loss < 0.5


# -- a line as it was --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 120])
def test_the_line_is_the_logistic_regression_on_both_blocks(n):
    """By hand, from the encoders on: what fusion was before it had other heads."""
    X, y = customers(n, "text", seed=3)
    fitted = fusion("linear", random_state=5).fit(X, y)
    records = fitted.records(X)
    columns = ColumnEncoder(shown_columns(prompt_file(), list(X))).fit(records).transform(records)
    vectors = Letters().encode(list(X["said"]))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float64)
    features = np.hstack([each / np.sqrt(each.var(axis=0).sum()) for each in (columns, vectors)])
    width = columns.shape[1]
    by_hand = fit_head(
        features,
        (y == "stays").astype(int),
        candidates=[
            blocks(width=width, weight=weight, strength=strength)
            for weight in (0.5, 1.0, 2.0)
            for strength in (1.0, 10.0, 100.0)
        ],
        default=blocks(width=width, weight=1.0, strength=10.0),
        classes=2,
        seed=5,
    )
    np.testing.assert_allclose(fitted.predict_proba(X), by_hand.predict_proba(features), atol=1e-6)
    assert FusionClassifier().head == "linear"


# -- candidates --------------------------------------------------------------------------------


def test_trees_read_the_columns_and_the_first_components_of_the_rest():
    rng = np.random.default_rng(0)
    features, new = rng.normal(size=(50, 40)), rng.normal(size=(7, 40))
    found = Reduced(width=3, components=5).fit(features).transform(new)
    expected = PCA(5).fit(features[:, 3:]).transform(new[:, 3:])
    np.testing.assert_allclose(found, np.hstack([new[:, :3], expected]))
    default, candidates = fusion_heads("trees", width=3, rows=50, seed=9)
    given = [each.get_params() for each in trees(50, 9)]
    assert [each[-1].get_params() for each in (default, *candidates)] == given
    assert {each[0].width for each in (default, *candidates)} == {3}


@pytest.mark.parametrize(("shape", "components"), [((4, 12), 3), ((30, 5), 3), ((30, 3), 1), ((2, 9), 1)])  # fmt: skip
def test_there_are_no_more_components_than_rows_and_width_allow(shape, components):
    features = np.random.default_rng(0).normal(size=shape)
    assert Reduced(width=2).fit(features).transform(features).shape == (shape[0], 2 + components)


def test_a_network_follows_its_seed_and_weighs_the_second_block():
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(60, 8)), np.arange(60) % 2
    one, again, other = (
        network(width=3, weight=2.0, penalty=3.0, seed=seed)
        .fit(features, y)
        .predict_proba(features)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-6
    # weighing the second block is what multiplying it by hand is
    by_hand = np.hstack([features[:, :3], 2 * features[:, 3:]])
    same = network(width=3, weight=1.0, penalty=3.0, seed=0).fit(by_hand, y).predict_proba(by_hand)
    np.testing.assert_allclose(one, same, atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("n", "chosen"), [(63, False), (64, True)])
def test_a_candidate_is_chosen_only_where_the_rows_suffice(head, n, chosen, monkeypatch):
    tried = []
    real = heads.cross_fitted
    monkeypatch.setattr(
        heads, "cross_fitted", lambda each, *given, **named: tried.append(each) or real(each, *given, **named)
    )  # fmt: skip
    X, y = customers(n, "text")
    fitted = fusion(head).fit(X, y)
    width = fitted._blocks(fitted.records(X))[0].shape[1]
    default, candidates = fusion_heads(head, width=width, rows=n, seed=0)
    expected = candidates if chosen else [default]
    assert [str(each.get_params()) for each in tried] == [
        str(each.get_params()) for each in expected
    ]


@pytest.mark.parametrize("head", HEADS)
def test_rows_of_one_group_stand_on_one_side_of_every_fold(head, monkeypatch):
    used = []
    real = heads.cross_fitted
    monkeypatch.setattr(
        heads, "cross_fitted", lambda model, X, y, folds, **named: used.append(folds) or real(model, X, y, folds, **named)
    )  # fmt: skip
    X, y = customers(80, "text")
    records = fusion(head).begin(X, y)
    groups = [f"g{row // 4}" for row in range(80)]
    grouped = [replace(record, group=group) for record, group in zip(records, groups, strict=True)]
    fusion(head).fit(grouped, y)
    assert used
    for folds in used:
        assert len(folds) == 5
        for others, held in folds:
            assert not {groups[row] for row in others} & {groups[row] for row in held}
    numbers = (y == "stays").astype(int)
    for (_, held), (_, expected) in zip(used[0], stratified(numbers, 0, groups), strict=True):
        np.testing.assert_array_equal(held, expected)


# -- hard rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_a_class_of_one_row_leaves_nothing_held_out_and_fits(head):
    X, y = customers(20, "text")
    y = np.where(np.arange(20) == 3, "leaves", "stays")
    found = fusion(head).cross_fit(X, y)
    assert found.shape == (20, 2)
    assert np.isnan(found).all()


@pytest.mark.parametrize("head", HEADS)
def test_three_classes_and_two_rows_of_each(head):
    X, _ = customers(6, "text")
    file = PromptFile.from_text(
        "---\ntask: multiclass\ntarget: outcome\nlabels: {a: [one], b: [two], c: [three]}\n"
        "id: id\ntext: [said]\n---\n{% block system %}Judge.{% endblock %}{% block customer %}"
        "{{ customer.plan }} {{ customer.said }}{% endblock %}{% block question %}?{% endblock %}",
        name="p.jinja",
    )
    fitted = FusionClassifier(file, head=head, encoder=Letters()).fit(X, list("abcabc"))
    found = fitted.predict_proba(X)
    assert found.shape == (6, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.filterwarnings("error")
def test_texts_that_are_all_the_same_are_no_fault(head):
    X, y = customers(80, "columns")
    X["said"] = "the same"
    found = fusion(head).fit(X[:70], y[:70]).predict_proba(X[70:])
    assert roc_auc_score(y[70:] == "leaves", found[:, 0]) > 0.8


@pytest.mark.parametrize("head", HEADS)
def test_a_seed_gives_the_same_again_and_another_seed_another_fit(head):
    X, y = customers(80, "text", seed=2)
    first, again, other = (
        fusion(head, random_state=seed).fit(X, y).predict_proba(X) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    if head != "linear":  # whose seed moves the folds alone
        assert np.abs(first - other).max() > 1e-9
    copied = clone(fusion(head, random_state=4))
    np.testing.assert_array_equal(copied.fit(X, y).predict_proba(X), first)


def test_an_unknown_head_is_refused_before_anything_is_encoded():
    X, y = customers(8, "text")
    encoder = FakeEncoder()
    with pytest.raises(ValueError, match=r"^head is 'linear', 'trees' or 'mlp', not 'tree'$"):
        FusionClassifier(prompt_file(), head="tree", encoder=encoder).fit(X, y)
    assert encoder.asked == []
