"""Columns, words and both as scikit-learn classifiers: what each reads, and what it refuses."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from fakes import FakeEncoder
from promptpredict import heads
from promptpredict.baselines import (
    FusionClassifier,
    StructuredClassifier,
    TextClassifier,
    unusable,
)
from promptpredict.columns import ColumnEncoder
from promptpredict.errors import DataError
from promptpredict.prompt import PromptFile

FIELDS = "{% for field in customer.fields %}{{ field.value }} {% endfor %}"
SAID = "{{ customer.said }}"


@pytest.fixture(autouse=True)
def _one_thread():
    """On a busy machine the threads of a tiny fit wait for one another, far longer than it takes."""
    with threadpool_limits(1):
        yield


class QuietEncoder(FakeEncoder):
    """Remembers nothing: scikit-learn compares parameters before and after."""

    def encode(self, sentences, **given):
        vectors = super().encode(sentences, **given)
        self.asked = []
        return vectors

    def __repr__(self):
        return "QuietEncoder()"  # without its address, or a test has another name in every run


def prompt_file(customer=FIELDS + SAID, text="[said]"):
    return PromptFile.from_text(
        "---\ntask: binary\ntarget: outcome\nlabels: {stays: [glad], leaves: [angry]}\n"
        f"positive: leaves\nid: id\ntext: {text}\n---\n"
        "{% block system %}You judge.{% endblock %}"
        "{% block customer %}" + customer + "{% endblock %}"
        "{% block question %}And now?{% endblock %}",
        name="p.jinja",
    )


def approaches(prompt):
    return {
        "structured": StructuredClassifier(prompt),
        "structured-trees": StructuredClassifier(prompt, kind="trees"),
        "text": TextClassifier(prompt),
        "fusion": FusionClassifier(prompt, encoder=QuietEncoder()),
    }


NAMES = list(approaches(None))


def customers(n=100, *, seed=0):
    """Customers whose plan tells half of their outcome, and what they said the other half."""
    rng = np.random.default_rng(seed)
    plan, angry = rng.random(n) < 0.5, rng.random(n) < 0.5
    leaves = plan.astype(int) + angry + 0.4 * rng.normal(size=n) > 1
    frame = pd.DataFrame(
        {
            "id": [f"c{row}" for row in range(n)],
            "plan": np.where(plan, "monthly", "yearly"),
            "orders": rng.integers(1, 5, n),
            "said": np.where(angry, "never again this shop", "glad to be back here"),
        }
    )
    return frame, np.where(leaves, "leaves", "stays")


# No check is expected to fail.
@parametrize_with_checks(list(approaches(None).values()))
def test_contract_of_scikit_learn(estimator, check, monkeypatch):
    monkeypatch.setattr(heads, "MIN_ROWS", 10**9)  # by the defaults alone, or it takes a minute
    check(estimator)


# -- what each reads ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [40, 120], ids=["by defaults", "by cross-validation"])
@pytest.mark.parametrize("name", NAMES)
def test_each_finds_what_it_can_read(name, n):
    X, y = customers(n + 300)
    estimator = approaches(prompt_file())[name].fit(X[:n], y[:n])
    found = estimator.predict_proba(X[n:])
    assert found.shape == (300, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    auc = roc_auc_score(y[n:] == "leaves", found[:, 0])
    assert auc > (0.85 if name == "fusion" else 0.65)
    assert log_loss(y[n:], found) < 0.66


@pytest.mark.parametrize(
    ("name", "column", "value", "matters"),
    [
        ("structured", "plan", "yearly", True),
        ("structured", "said", "glad to be back here", False),
        ("structured-trees", "plan", "yearly", True),
        ("structured-trees", "said", "glad to be back here", False),
        ("text", "plan", "yearly", False),
        ("text", "said", "glad to be back here", True),
        ("fusion", "plan", "yearly", True),
        ("fusion", "said", "glad to be back here", True),
        *((name, "id", "x", False) for name in NAMES),
    ],
)
def test_each_reads_its_own_columns_alone(name, column, value, matters):
    X, y = customers()
    estimator = approaches(prompt_file())[name].fit(X, y)
    changed = np.abs(
        estimator.predict_proba(X.assign(**{column: value})) - estimator.predict_proba(X)
    )
    assert (changed.max() > 0.05) == matters
    assert (changed.max() == 0) == (not matters)


@pytest.mark.parametrize("name", ["structured", "structured-trees", "fusion"])
def test_a_column_that_the_prompt_does_not_show_is_not_read(name):
    """The comparison is of those who know the same."""
    X, y = customers()
    X["leak"] = y
    estimator = approaches(prompt_file("{{ customer.orders }}" + SAID))[name].fit(X, y)
    found = estimator.predict_proba(X)
    assert roc_auc_score(y == "leaves", found[:, 0]) < 0.95
    np.testing.assert_array_equal(
        estimator.predict_proba(X.assign(leak="leaves", plan="yearly")), found
    )


def test_fusion_embeds_what_the_customer_wrote_and_not_the_fields():
    encoder = FakeEncoder()
    X, y = customers(8)
    X.loc[2, "said"] = None
    X["wrote"] = "yes"
    file = prompt_file(FIELDS + SAID + "{{ customer.wrote }}", text="[said, wrote]")
    FusionClassifier(file, encoder=encoder).fit(X, y)
    expected = [f"{said}\nyes" for said in X["said"].fillna("")]
    assert encoder.asked == list(dict.fromkeys(expected))


def test_fusion_embeds_the_rendered_customer_where_there_is_no_text():
    encoder = FakeEncoder()
    X, y = customers(8)
    FusionClassifier(prompt_file(FIELDS, text="[]"), encoder=encoder).fit(X.drop(columns="said"), y)
    assert encoder.asked[0] == f"{X['plan'][0]} {X['orders'][0]}"


@pytest.mark.parametrize("wide", ["encoder", "columns"])
def test_neither_block_drowns_the_other(wide):
    X, y = customers()

    class Loud(QuietEncoder):
        def encode(self, sentences, **given):
            return np.tile(super().encode(sentences, **given), 40)

    if wide == "columns":
        X = X.assign(**{f"copy{number}": X["orders"] ** 2 for number in range(40)})
    encoder = Loud() if wide == "encoder" else QuietEncoder()
    estimator = FusionClassifier(prompt_file(), encoder=encoder).fit(X, y)
    columns, vectors = estimator._blocks(estimator.records(X))
    features = estimator._features(columns, vectors)
    width = columns.shape[1]
    assert features[:, :width].var(axis=0).sum() == pytest.approx(1)
    assert features[:, width:].var(axis=0).sum() == pytest.approx(1)


# -- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Never again!", ["again", "never", "never again"]),
        ("A I", ["a", "a i", "i"]),
        ("太慢", ["太", "太 慢", "慢"]),
        ("5.99", ["5", "5 99", "99"]),
    ],
    ids=["words", "single letters", "no spaces", "numbers"],
)
def test_words_and_pairs_are_counted(text, terms):
    X, y = customers(16)
    X["said"] = text
    estimator = TextClassifier(prompt_file()).fit(X, y)
    assert sorted(estimator.words_._vectorizer.vocabulary_) == terms


def test_a_word_of_one_customer_counts_only_among_few():
    for n, counted in ((255, True), (256, False)):
        X, y = customers(n)
        X.loc[0, "said"] = "unheard"
        estimator = TextClassifier(prompt_file()).fit(X, y)
        assert ("unheard" in estimator.words_._vectorizer.vocabulary_) == counted


@pytest.mark.parametrize("said", [None, "", "!?", "..."])
@pytest.mark.parametrize("name", ["text", "fusion"])
def test_customers_who_wrote_nothing_break_nothing(name, said):
    X, y = customers(16)
    estimator = approaches(prompt_file())[name].fit(X.assign(said=said), y)
    found = estimator.predict_proba(X)
    assert np.isfinite(found).all()
    if name == "text":
        np.testing.assert_allclose(found[:, 0], (y == "leaves").mean(), atol=1e-3)


# -- tables that are hard ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_any_column_can_be_read_without_a_warning(name):
    X, y = customers(16)
    X = X.assign(
        nothing=None,
        constant=1,
        mixed=[1, "two", 3.5, None] * 4,
        truth=[True, False] * 8,
        when=pd.date_range("2024-01-01", periods=16, freq="37h"),
        odd=[f"only {row}" for row in range(16)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = approaches(prompt_file())[name].fit(X, y)
        new = X.assign(
            nothing="new", constant="2", mixed=True, truth="no", when="never", odd=None, plan=5
        )
        assert np.isfinite(estimator.predict_proba(new)).all()


@pytest.mark.parametrize("name", ["structured", "structured-trees", "fusion"])
def test_a_single_empty_column_gives_the_base_rate(name):
    X, y = customers(16)
    X = X.assign(plan=None, said="the same")[["id", "plan", "said"]]
    found = approaches(prompt_file())[name].fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found[:, 0], (y == "leaves").mean(), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [6, 100])
def test_cross_fit_holds_every_row_out(name, n):
    X, y = customers(n)
    y[:2], y[2:4] = "leaves", "stays"
    estimator = approaches(prompt_file())[name]
    found = estimator.cross_fit(X, y)
    assert found.shape == (n, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.abs(found - estimator.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_clone_and_a_pickle_predict_the_same(name):
    X, y = customers()
    estimator = approaches(prompt_file())[name].fit(X, y)
    found = estimator.predict_proba(X)
    for copy in (pickle.loads(pickle.dumps(estimator)), clone(estimator).fit(X, y)):
        np.testing.assert_array_equal(copy.predict_proba(X), found)


def test_columns_are_encoded_once_for_all_folds_and_candidates(monkeypatch):
    fits = []
    fit = ColumnEncoder.fit
    monkeypatch.setattr(ColumnEncoder, "fit", lambda self, rows: fits.append(rows) or fit(self, rows))  # fmt: skip
    X, y = customers()
    StructuredClassifier(prompt_file()).fit(X, y)
    assert [len(rows) for rows in fits] == [100]


# -- faults ------------------------------------------------------------------------------------

NO_TEXT = (
    "p.jinja has no text column that a block shows; possible: text: [COLUMN] in its front "
    "matter, and {{ customer.COLUMN }} in a block"
)
NO_COLUMN = (
    "p.jinja shows no column besides its id and its text; possible: customer.fields in a block, "
    "or {{ customer.COLUMN }}"
)


@pytest.mark.parametrize(
    ("file", "faults"),
    [
        (prompt_file(), {}),
        (prompt_file(FIELDS, text="[]"), {"text": NO_TEXT}),
        (prompt_file(FIELDS), {"text": NO_TEXT}),
        (prompt_file(SAID), dict.fromkeys(set(NAMES) - {"text"}, NO_COLUMN)),
        (prompt_file(SAID + "{{ customer.orders }}"), {}),
    ],
    ids=["all", "no text", "text that is not shown", "text alone", "a column by its name"],
)
def test_what_cannot_be_run_is_known_before_the_fit(file, faults):
    X, y = customers(8)
    for name, estimator in approaches(file).items():
        assert unusable(name, file, list(X.columns)) == faults.get(name)
        if name in faults:
            with pytest.raises(DataError) as error:
                estimator.fit(X, y)
            assert str(error.value) == faults[name]
        else:
            estimator.fit(X, y)
    assert unusable("embedding", file, list(X.columns)) is None


def test_fields_of_a_table_without_any_are_no_columns():
    assert unusable("structured", prompt_file(), ["id", "said"]) == NO_COLUMN


def test_an_unknown_kind_is_refused():
    X, y = customers(8)
    with pytest.raises(ValueError, match=r"^kind is 'linear' or 'trees', not 'tree'$"):
        StructuredClassifier(prompt_file(), kind="tree").fit(X, y)
