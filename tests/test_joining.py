"""Several language models side by side: each under its name, the rest once."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from compared import QUICK, benchmark, by_case, customers
from fakes import FakeLM
from promptpredict.joining import joined
from promptpredict.results import Flag
from promptpredict.verdict import Gap, judge

MODELS = ["one", "two", "three"]
OURS = ("zero-shot", "few-shot", "probe", "stack", "chosen-with-lm", "chosen-single")
REST = ("embedding", "text", "structured", "structured-trees", "prior", "chosen-without-lm")


class Deaf(FakeLM):
    """Takes the words of every ``every``-th prompt for their opposite."""

    def __init__(self, name, every):
        super().__init__()
        self.name, self.every = name, every

    def _logprobs(self, prompt, labels):
        found = super()._logprobs(prompt, labels)
        return found[::-1] if len(prompt.user) % self.every == 0 else found


def run(lm):
    given = {"approaches": (*QUICK, "stack"), "budgets": (0, 4, 16)}
    with threadpool_limits(1):
        return benchmark(customers(120), lm=lm, **given).run()


@pytest.fixture(scope="module")
def runs():
    first = FakeLM()
    first.name = "one"
    return [run(lm) for lm in (first, Deaf("two", 3), Deaf("three", 2))]


@pytest.fixture
def whole(runs):
    return joined(copy.deepcopy(runs), MODELS)


def test_one_model_needs_no_name(runs):
    assert joined(runs[:1], MODELS[:1]) is runs[0]
    assert joined(runs[:1], []) is runs[0]


def test_an_approach_is_named_with_its_model_and_what_needs_none_stands_once(runs, whole):
    expected = []
    for number, (each, model) in enumerate(zip(runs, MODELS, strict=True)):
        for row in each.rows:
            if row.approach not in REST:
                expected.append((f"{row.approach} @ {model}", row.budget, row.seed))
            elif number == 0:
                expected.append((row.approach, row.budget, row.seed))
    assert [(row.approach, row.budget, row.seed) for row in whole.rows] == expected
    assert len(set(expected)) == len(expected)
    assert {row.approach for row in whole.rows} == {
        *REST,
        *(f"{name} @ {model}" for name in OURS for model in MODELS),
    }


def test_figures_and_predictions_are_those_of_each_model(runs, whole):
    rows = {(row.approach, row.budget, row.seed): row for row in whole.rows}
    cases = by_case(whole)
    assert set(rows) == set(cases) == set(whole.resampled)
    for each, model in zip(runs, MODELS, strict=True):
        own = by_case(each)
        for row in each.rows:
            if row.approach in REST:
                continue
            key = (row.approach, row.budget, row.seed)
            named = (f"{row.approach} @ {model}", row.budget, row.seed)
            assert rows[named].metrics == row.metrics
            assert (rows[named].model, rows[named].chosen) == (row.model, row.chosen)
            pd.testing.assert_series_equal(
                cases[named]["p_leaves"].reset_index(drop=True),
                own[key]["p_leaves"].reset_index(drop=True),
            )
            np.testing.assert_array_equal(whole.resampled[named], each.resampled[key])
    assert rows["zero-shot @ one", 0, 0].metrics != rows["zero-shot @ two", 0, 0].metrics


def test_approaches_of_all_models_are_corrected_in_one_family(runs, whole):
    """Of two models as of one: what stands against the same choice is judged together."""
    found = {(d.approach, d.against, d.budget): d for d in whole.differences}
    assert len(found) == len(whole.differences)
    for budget in (4, 16):
        gaps = []
        for each, model in zip(runs, MODELS, strict=True):
            for name in ("zero-shot", "probe", "few-shot", "stack"):
                keys = [key for key in each.resampled if key[:2] == (name, budget)]
                if not keys:
                    continue
                other = [("chosen-without-lm", *key[1:]) for key in keys]
                values = [
                    figure(each, key) - figure(runs[0], of)
                    for key, of in zip(keys, other, strict=True)
                ]
                drawn = [
                    each.resampled[key] - runs[0].resampled[of]
                    for key, of in zip(keys, other, strict=True)
                ]
                gaps.append(
                    Gap(
                        approach=f"{name} @ {model}",
                        against="chosen-without-lm",
                        metric="roc_auc",
                        value=float(np.mean(values)),
                        resampled=np.mean(drawn, axis=0),
                        units=whole.units,
                    )
                )
        for slow in judge(gaps, budget=budget):
            ours = found[slow.approach, slow.against, budget]
            assert ours.model_dump() == pytest.approx(slow.model_dump(), abs=1e-12)


def test_crossovers_of_each_model_stand_under_its_name(runs, whole):
    found = {(each.approach, each.against): each.budget for each in whole.crossovers}
    for each, model in zip(runs, MODELS, strict=True):
        for one in each.crossovers:
            names = [
                name if name in REST else f"{name} @ {model}"
                for name in (one.approach, one.against)
            ]
            assert found[tuple(names)] == one.budget


def test_each_later_model_is_compared_with_the_first_on_the_same_resamples(runs, whole):
    """One family at each budget: all approaches and all later models."""
    between = [
        d for d in whole.differences if d.against.endswith(" @ one") and d.approach not in REST
    ]
    between = [d for d in between if not d.approach.endswith(" @ one")]
    expected = []
    for budget, names in ((0, ["zero-shot"]), (4, None), (16, None)):
        gaps = []
        bases = names or [n for n in dict.fromkeys(r.approach for r in runs[0].rows) if n in OURS]
        for number in (1, 2):
            for base in bases:
                keys = [key for key in runs[0].resampled if key[:2] == (base, budget)]
                if not keys:
                    continue
                value = np.mean([figure(runs[number], key) - figure(runs[0], key) for key in keys])
                drawn = np.mean(
                    [runs[number].resampled[key] - runs[0].resampled[key] for key in keys], axis=0
                )
                gaps.append(
                    Gap(
                        approach=f"{base} @ {MODELS[number]}",
                        against=f"{base} @ one",
                        metric="roc_auc",
                        value=float(value),
                        resampled=drawn,
                        units=whole.units,
                    )
                )
        expected += judge(gaps, budget=budget)
    assert len(between) == len(expected) == 2 * (1 + 5 + 6)
    for ours, slow in zip(between, expected, strict=True):
        assert ours.model_dump() == pytest.approx(slow.model_dump(), abs=1e-12)


def figure(comparison, key):
    [row] = [row for row in comparison.rows if (row.approach, row.budget, row.seed) == key]
    return row.metrics["roc_auc"].value


def test_what_was_seen_of_each_model_is_told_by_name(runs, whole):
    assert set(whole.label_mass) == {
        f"{name} @ {model}" for name in ("zero-shot", "few-shot", "probe") for model in MODELS
    }
    assert set(whole.truncated) == set(whole.label_mass)
    assert whole.label_mass["probe @ two"] == runs[1].label_mass["probe"]
    assert [each.approach for each in whole.shots] == [
        f"few-shot @ {model}" for model in MODELS for _ in runs[0].shots
    ]


def test_notes_and_flags_that_all_share_stand_once():
    first, second = (benchmark(approaches=["zero-shot"], budgets=(0, 1000)).run() for _ in range(2))
    second.notes.append("of the second alone")
    whole = joined([first, second], ["one", "two"])
    assert whole.notes == [
        "budget 1,000 is left out: there are 40 training rows",
        "of the second alone",
    ]


def test_a_flag_on_a_model_names_it():
    plain = benchmark(approaches=["zero-shot"], budgets=(0,)).run()
    other = copy.deepcopy(plain)
    plain.flags = [Flag(kind="leak", column="x", text="x leaks")]
    other.flags = [*plain.flags, Flag(kind="reversed", column=None, text="the wrong way round")]
    assert [each.text for each in joined([plain, other], ["one", "two"]).flags] == [
        "x leaks",
        "two: the wrong way round",
    ]
