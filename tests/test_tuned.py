"""TunedClassifier by scikit-learn's contract, and as an approach of a comparison."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from compared import PROMPT, benchmark, customers, prompt_file
from fakes import FakeEncoder
from promptpredict import adapters, making, training, tuned
from promptpredict.adapters import Tuning
from promptpredict.cases import Draw
from promptpredict.encoders import Embedder
from promptpredict.errors import DataError, ModelError
from promptpredict.estimating import estimator_of
from promptpredict.loading import load_language_model
from promptpredict.memo import Memo
from promptpredict.models import find
from promptpredict.plans import DEFAULT, Plan
from promptpredict.tuned import TunedClassifier

QUICK = Tuning(rank=4, alpha=8, learning_rate=1e-2, batch=8, epochs=5)


def rows(count=60):
    said = ["angry angry dear", "glad glad cheap"]
    table = [{"id": str(n), "price": n % 7, "feedback": f"{said[n % 2]} {n}"} for n in range(count)]
    return pd.DataFrame(table), np.array(["leaves", "stays"])[np.arange(count) % 2]


def classifier(folder, **changes):
    return TunedClassifier(prompt_file(), model=str(folder), tuning=QUICK, **changes)


@pytest.fixture(scope="module")
def fitted(tiny_folder):
    X, y = rows()
    return classifier(tiny_folder).fit(X, y)


def test_it_learns(fitted):
    X, y = rows(80)
    found = fitted.predict_proba(X[60:])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    leaves = found[:, list(fitted.classes_).index("leaves")]
    assert leaves[y[60:] == "leaves"].min() > leaves[y[60:] == "stays"].max()
    assert (fitted.predict(X[60:]) == y[60:]).all()


def test_a_clone_has_the_parameters_and_a_pickle_the_adapter(fitted):
    X, _ = rows(6)
    again = clone(fitted)
    assert again.tuning == QUICK
    assert not hasattr(again, "card_")
    kept = pickle.loads(pickle.dumps(fitted))
    assert "language_model" not in vars(kept)
    np.testing.assert_array_equal(kept.predict_proba(X), fitted.predict_proba(X))


def test_the_same_seed_gives_the_same(tiny_folder, fitted):
    X, y = rows()
    again = classifier(tiny_folder).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X[:9]), fitted.predict_proba(X[:9]))
    other = classifier(tiny_folder, random_state=1).fit(X, y)
    assert other.card_.adapter != fitted.card_.adapter


def test_rows_that_were_trained_on_are_not_held_out(tiny_folder):
    X, y = rows()
    found = classifier(tiny_folder)
    said = found.cross_fit(X, y)
    held = np.flatnonzero(np.isfinite(said).all(axis=1))
    assert held.tolist() == found.held_[0]
    assert len(held) == found.card_.held_out == 12
    assert np.isnan(np.delete(said, held, axis=0)).all()


def test_too_few_rows_are_a_fault(tiny_folder):
    X, y = rows(12)
    with pytest.raises(DataError, match="there are 12 labelled rows; an adapter needs 16 or more"):
        classifier(tiny_folder).fit(X, y)


def test_without_peft_it_says_what_to_install(tiny_folder, monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    X, y = rows()
    with pytest.raises(ModelError) as caught:
        classifier(tiny_folder).fit(X, y)
    assert str(caught.value) == (
        "TunedClassifier needs peft, which is not installed; possible: pip install "
        "'promptpredict[tune]'"
    )


# -- adapters that are kept --------------------------------------------------------------------


def test_a_kept_adapter_is_not_trained_again(tiny_folder, fitted, tmp_path, monkeypatch):
    X, y = rows()
    first = classifier(tiny_folder, keep=tmp_path / "kept")
    said = first.cross_fit(X, y)
    [kept] = (tmp_path / "kept").iterdir()
    monkeypatch.setattr(making, "make_adapter", lambda asked, **_: pytest.fail(str(asked.out)))
    again = classifier(tiny_folder, keep=str(tmp_path / "kept"))
    np.testing.assert_array_equal(again.cross_fit(X, y), said)
    for one in (first, again):
        np.testing.assert_array_equal(one.predict_proba(X), fitted.predict_proba(X))
        assert one.card_ == fitted.card_
        assert one.files_ == fitted.files_
    assert [each.name for each in (tmp_path / "kept").iterdir()] == [kept.name]


@pytest.mark.parametrize("change", ["seed", "tuning", "prompt", "rows", "labels"])
def test_what_would_be_trained_in_another_way_is_not_taken(
    tiny_folder, tmp_path, monkeypatch, change
):
    X, y = rows()
    outs = []

    def noted(asked, **_):
        outs.append(asked.out)
        raise DataError("noted")

    monkeypatch.setattr(making, "make_adapter", noted)
    given = {"prompt": prompt_file(), "model": str(tiny_folder), "keep": tmp_path, "tuning": QUICK}
    changed = {
        "seed": {"random_state": 1},
        "tuning": {"tuning": Tuning(rank=2)},
        "prompt": {"prompt": prompt_file(PROMPT.replace("And now?", "Who leaves?"))},
    }
    others = {"rows": (X[:-2], y[:-2]), "labels": (X, y[::-1])}
    for named, some in (
        (given, (X, y)),
        (given, (X, y)),
        (given | changed.get(change, {}), others.get(change, (X, y))),
    ):
        with pytest.raises(DataError, match="noted"):
            TunedClassifier(**named).fit(*some)
    first, same, other = outs
    assert first == same != other


def test_a_kept_adapter_that_was_cut_off_is_gone_on_with(
    tiny_folder, fitted, tmp_path, monkeypatch
):
    X, y = rows()
    judge, epochs = training.Training._judge, []

    def killed(self):
        judge(self)
        epochs.append(self.epochs)
        if epochs == [0, 1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_judge", killed)
    with pytest.raises(KeyboardInterrupt):
        classifier(tiny_folder, keep=tmp_path).fit(X, y)
    found = classifier(tiny_folder, keep=tmp_path).fit(X, y)
    assert epochs[2] == 2  # the first epoch was not trained again
    assert found.files_ == fitted.files_


# -- in a comparison ---------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Training of two short epochs, whatever the defaults are."""
    plain = tuned.TunedClassifier.__init__

    def init(self, *given, **named):
        plain(self, *given, **named)
        self.tuning = QUICK

    monkeypatch.setattr(tuned.TunedClassifier, "__init__", init)


def test_it_is_dear_and_runs_only_by_name():
    assert "tuned" not in DEFAULT


def test_it_takes_the_name_of_the_memo_and_the_seed_of_the_draw(tiny_folder):
    memo = Memo(load_language_model(find(str(tiny_folder))))
    draw = Draw(16, 7, 0, np.arange(16), np.arange(40), np.arange(40, 50))
    given = {"shots": 0, "model": memo, "encoder": Embedder(FakeEncoder())}
    found = estimator_of("tuned", prompt_file(), Plan(), draw, **given)
    assert (found.model, found.random_state, found.tuning) == (memo, 7, Tuning())
    assert found._source() == find(str(tiny_folder))


@pytest.mark.usefixtures("quick")
def test_a_comparison_trains_for_every_draw_and_asks_the_memo_nothing(tiny_folder, monkeypatch):
    made, plain = [], making.make_adapter

    def watched(asked, *given, **named):
        made.append([record.row for record in asked.records])
        return plain(asked, *given, **named)

    monkeypatch.setattr(making, "make_adapter", watched)
    memo = Memo(load_language_model(find(str(tiny_folder))))
    run = benchmark(
        customers(80),
        lm=memo,
        approaches=("tuned", "text"),
        budgets=(4, 16),
        seeds=2,
        memory_rows=0,
    )
    assert run.collect() == 0
    assert made == []  # collecting trains nothing
    found = run.run()
    assert [sorted(each) for each in made] == [
        sorted(run.records[row].row for row in draw.rows)
        for draw in run.draws()
        if draw.budget == 16
    ]
    assert memo.passes == 0
    cases = {(row.approach, row.budget) for row in found.rows}
    assert ("tuned", 16) in cases
    assert ("tuned", 4) not in cases
    assert ("chosen-with-lm", 16) in cases
    assert "tuned" in found.label_mass
    [row, _] = [row for row in found.rows if row.approach == "tuned"]
    assert row.model == str(tiny_folder)
    assert row.metrics["tokens_per_1000"].value > 0


@pytest.mark.usefixtures("quick")
def test_a_comparison_that_is_run_again_trains_nothing(tiny_folder, tmp_path, monkeypatch):
    given = {
        "approaches": ("tuned",), "budgets": (16,), "seeds": 2, "memory_rows": 0,
        "adapters": tmp_path / "adapters",
    }  # fmt: skip
    lm = load_language_model(find(str(tiny_folder)))
    found = benchmark(customers(60), lm=Memo(lm), **given).run()
    assert len(list((tmp_path / "adapters").iterdir())) == 2  # one for each draw
    monkeypatch.setattr(training.Training, "run", lambda *_: pytest.fail("trained"))
    again = benchmark(customers(60), lm=Memo(lm), **given).run()
    assert again.predictions == found.predictions


@pytest.mark.usefixtures("quick")
def test_a_row_that_cannot_be_read_is_left_out_for_all(tiny_folder):
    lm = load_language_model(find(str(tiny_folder)))
    plain = lm.fault
    lm.fault = lambda prompt, labels: (
        "too long" if "marker5" in prompt.user.split() else plain(prompt, labels)
    )
    run = benchmark(
        customers(80),
        lm=Memo(lm),
        approaches=("tuned", "text"),
        budgets=(16,),
        seeds=1,
        memory_rows=0,
    )
    run.collect()
    assert set(run.unscored) <= {5}
    assert set(run.unscored) == {5} or 5 not in {
        run.records[row].row for draw in run.draws() for row in (*draw.rows, *draw.test)
    }


def test_a_plan_without_peft_or_with_a_label_that_nobody_has_leaves_it_out(monkeypatch):
    from promptpredict import plans

    file = prompt_file()
    names, notes = Plan(approaches=("tuned", "prior")).usable(file, ["feedback"], {"stays"})
    assert names == ["prior"]
    assert notes == [
        "tuned is left out: no row has the label 'leaves', and an adapter needs every label"
    ]
    monkeypatch.setattr(plans, "find_spec", lambda name: None)
    names, notes = Plan(approaches=("tuned", "prior")).usable(
        file, ["feedback"], {"stays", "leaves"}
    )
    assert notes == [
        "tuned is left out: it needs peft; possible: pip install 'promptpredict[tune]'"
    ]


@pytest.mark.usefixtures("quick")
def test_a_draw_that_cannot_be_parted_leaves_the_others_to_compare(tiny_folder):
    """Of households the labels of 16 rows may lie in one: that is found before anything is read."""
    records = customers(60)
    groups = [f"h{at // 30}" for at in range(60)]
    run = benchmark(
        records, lm=Memo(load_language_model(find(str(tiny_folder)))), groups=groups,
        approaches=("tuned", "text"), budgets=(16,), seeds=1, memory_rows=0,
    )  # fmt: skip
    assert run.adapters_to_train == 0
    apart = benchmark(records, approaches=("tuned", "text"), budgets=(4, 16), seeds=3)
    assert apart.adapters_to_train == 3  # one a draw of 16
    found = run.run()
    assert {row.approach for row in found.rows} >= {"text"}
    assert "tuned" not in {row.approach for row in found.rows}
    assert any(note.startswith("tuned is left out at 16 labels: in a draw the groups of the") for note in found.notes)  # fmt: skip
