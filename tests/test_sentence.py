"""The sentence that a person acts on, compared whole."""

from __future__ import annotations

import pytest

from promptpredict.plans import CHOSEN_WITH, CHOSEN_WITHOUT
from promptpredict.results import Difference, Row, Value
from promptpredict.sentence import sentence
from promptpredict.verdict import word

NAN = float("nan")


def row(approach, budget, auc=0.8, *, seed=0, chosen=None, seconds=None, reach=0.03):
    metrics = {"roc_auc": Value.of(auc, auc - reach, auc + reach)}
    if seconds is not None:
        metrics["seconds_per_1000"] = Value.of(seconds)
    return Row(
        table="customers.csv",
        prompt="churn-shop",
        model="",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=400,
        metrics=metrics,
        chosen=chosen,
    )


def difference(value, low, high, budget, approach=CHOSEN_WITH, against=CHOSEN_WITHOUT):
    return Difference(
        approach=approach,
        against=against,
        budget=budget,
        metric="roc_auc",
        value=value,
        low=low + 0.001,  # the sentence goes by Holm's
        high=high - 0.001,
        p=0.5,
        holm_low=low,
        holm_high=high,
        verdict=word(low, high),
    )


def choices(
    budget, lm=0.8, other=0.7, *, members=("probe", "embedding"), seconds: tuple = (60.0, 1.0)
):
    return [
        row(name, budget, auc, chosen=member, seconds=cost)
        for name, auc, member, cost in zip(
            (CHOSEN_WITH, CHOSEN_WITHOUT), (lm, other), members, seconds, strict=True
        )
    ]


# -- one budget --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            (0.08, 0.03, 0.12),
            "With 16 labels use `probe` (ROC AUC 0.800, +0.080 over `embedding`, "
            "95 % +0.030 to +0.120).",
        ),
        (
            (-0.08, -0.12, -0.03),
            "With 16 labels use `embedding` (ROC AUC 0.700, +0.080 over `probe`, "
            "95 % +0.030 to +0.120).",
        ),
        (
            (0.0002, -0.01, 0.0199),
            "With 16 labels use `embedding`, as good as `probe` and 60 times cheaper "
            "(ROC AUC 0.700, +0.000, 95 % -0.020 to +0.010).",
        ),
        (
            # the language model is no worse, but the cheaper one may be
            (0.02, -0.01, 0.05),
            "With 16 labels use `embedding`, 60 times cheaper, while it is undecided whether "
            "`probe` is better (ROC AUC 0.700, -0.020, 95 % -0.050 to +0.010).",
        ),
        (
            (-0.01, -0.06, 0.04),
            "With 16 labels use `embedding`, 60 times cheaper, while it is undecided whether "
            "`probe` is better (ROC AUC 0.700, +0.010, 95 % -0.040 to +0.060).",
        ),
    ],
    ids=["better", "worse", "as good", "no worse only", "undecided"],
)
def test_a_choice_is_told_by_the_corrected_interval_whichever_way_it_was_taken(found, text):
    value, low, high = found
    assert sentence(choices(16), [difference(value, low, high, 16)]) == text
    turned = difference(-value, -high, -low, 16, CHOSEN_WITHOUT, CHOSEN_WITH)
    others = [difference(0.5, 0.4, 0.6, 16, "stack", "embedding"), difference(0.3, 0.2, 0.4, 4)]
    assert sentence(choices(16), [*others, turned]) == text


@pytest.mark.parametrize(
    ("seconds", "cost"),
    [
        ((2468.0, 2.0), "use `embedding`, as good as `probe` and more than 1,000 times cheaper"),
        ((1234.0, 2.0), "use `embedding`, as good as `probe` and 620 times cheaper"),
        ((5.0, 2.0), "use `embedding`, as good as `probe` and 2.5 times cheaper"),
        ((2.0, 1.9), "use `embedding`, as good as `probe` and no more expensive"),
        ((2.0, 2.0), "use `embedding`, as good as `probe` and no more expensive"),
        ((2.0, None), "use `embedding`, as good as `probe`"),
        ((None, 2.0), "use `embedding`, as good as `probe`"),
        ((2.0, 60.0), "use `probe`, as good as `embedding` and 30 times cheaper"),
    ],
)
def test_the_cheaper_of_two_that_are_as_good_is_named(seconds, cost):
    found = sentence(choices(4, 0.8, 0.8, seconds=seconds), [difference(0, -0.01, 0.01, 4)])
    assert found == f"With 4 labels {cost} (ROC AUC 0.800, +0.000, 95 % -0.010 to +0.010)."


def test_nothing_is_said_of_cost_where_it_is_undecided_and_unknown():
    found = sentence(choices(4, seconds=(None, None)), [difference(0.01, -0.03, 0.05, 4)])
    assert found == (
        "With 4 labels use `embedding`, while it is undecided whether `probe` is better "
        "(ROC AUC 0.700, -0.010, 95 % -0.050 to +0.030)."
    )


def test_seconds_are_those_of_the_member_where_the_choice_has_none():
    rows = [
        *choices(4, seconds=(None, None)),
        row("probe", 4, seconds=30),
        row("embedding", 4, seconds=2),
        row("embedding", 4, seed=1, seconds=4),
    ]
    found = sentence(rows, [difference(0.0, -0.01, 0.01, 4)])
    assert "as good as `probe` and 10 times cheaper" in found


def over_seeds(budget, members, aucs, others=("text",) * 3):
    """Return what both choices took at one budget, one row a seed."""
    pairs = enumerate(zip(members, aucs, strict=True))
    rows = [row(CHOSEN_WITH, budget, auc, seed=seed, chosen=name) for seed, (name, auc) in pairs]
    return rows + [
        row(CHOSEN_WITHOUT, budget, seed=seed, chosen=name) for seed, name in enumerate(others)
    ]


def test_the_seeds_are_averaged_and_their_choice_is_named_where_it_was_not_one():
    """The figures are the choice's: those of no single approach."""
    rows = over_seeds(1024, ("panel", "probe", "probe"), (0.7, 0.8, 0.9))
    assert sentence(rows, [difference(0.1, 0.05, 0.15, 1024)]) == (
        "With 1,024 labels use a language model, mostly `probe` (ROC AUC 0.800, +0.100 over `text`, "
        "95 % +0.050 to +0.150)."
    )
    rows = over_seeds(64, ("probe",) * 3, (0.7, 0.8, 0.9), ("text", "fusion", "embedding"))
    assert sentence(rows, [difference(0.1, 0.05, 0.15, 64)]) == (
        "With 64 labels use `probe` (ROC AUC 0.800, +0.100 over the choice without a language "
        "model, 95 % +0.050 to +0.150)."
    )


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            (0.0, -0.01, 0.01),
            "With 64 labels use no language model, mostly `text`, as good as the choice with a "
            "language model (ROC AUC 0.800, +0.000, 95 % -0.010 to +0.010).",
        ),
        (
            (0.0, -0.05, 0.05),
            "With 64 labels use no language model, mostly `text`, while it is undecided whether the "
            "choice with a language model is better (ROC AUC 0.800, +0.000, 95 % -0.050 to +0.050).",
        ),
        (
            (-0.1, -0.15, -0.05),
            "With 64 labels use no language model, mostly `text` (ROC AUC 0.800, +0.100 over the "
            "choice with a language model, 95 % +0.050 to +0.150).",
        ),
    ],
)
def test_the_side_is_named_where_its_seeds_chose_several(found, text):
    rows = over_seeds(64, ("probe", "panel", "probe"), (0.8,) * 3, ("text", "fusion", "text"))
    assert sentence(rows, [difference(*found, 64)]) == text


def test_neighbouring_budgets_whose_seeds_differ_are_told_together_and_a_single_one_apart():
    rows = [
        *over_seeds(4, ("few-shot",) * 3, (0.8, 0.8, 0.8)),
        *over_seeds(16, ("probe", "panel", "probe"), (0.8, 0.8, 0.8)),
        *over_seeds(64, ("zero-shot", "probe", "zero-shot"), (0.9, 0.9, 0.9)),
    ]
    differences = [difference(0.1, low, 0.2, budget) for budget, low in ((4, 0.05), (16, 0.03), (64, 0.04))]  # fmt: skip
    assert sentence(rows, differences) == (
        "With 4 labels use `few-shot` (ROC AUC 0.800, +0.100 over `text`, 95 % +0.050 to +0.200); "
        "with 16 to 64 labels use a language model, as the labels choose (ROC AUC 0.800 to 0.900, at "
        "16 labels +0.100 over `text`, 95 % +0.030 to +0.200)."
    )


# -- several budgets ---------------------------------------------------------------------------


def test_neighbouring_budgets_with_one_answer_are_told_together():
    rows = [
        row("zero-shot", 0, 0.9),
        *choices(4, 0.78),
        *choices(16, 0.82, members=("probe", "text")),
        *choices(64, 0.81, members=("probe", "fusion")),
        *choices(256, 0.83, 0.84, members=("probe", "fusion"), seconds=(90, 2)),
        *choices(1024, 0.84, 0.85, members=("probe", "fusion"), seconds=(60, 2)),
    ]
    differences = [
        difference(0.2, 0.1, 0.3, 4),
        difference(0.12, 0.02, 0.22, 16),
        difference(0.07, 0.03, 0.11, 64),
        difference(-0.01, -0.02, 0.0, 256),
        difference(-0.01, -0.018, 0.002, 1024),
    ]
    assert sentence(rows, differences) == (
        "With no label use `zero-shot` (ROC AUC 0.900, 95 % 0.870 to 0.930, above 0.5); "
        "with 4 to 64 labels use `probe` (ROC AUC 0.780 to 0.820, at 16 labels +0.120 over `text`, "
        "95 % +0.020 to +0.220); "
        "with 256 to 1,024 labels use `fusion`, as good as `probe` and 30 times cheaper (ROC AUC 0.840 "
        "to 0.850, at 1,024 labels +0.010, 95 % -0.002 to +0.018)."
    )


def test_an_answer_that_comes_back_is_told_again_and_doubt_is_not_drawn_on():
    rows = [*choices(4), *choices(16), *choices(64), *choices(256)]
    sure, unsure = (0.1, 0.05, 0.15), (0.01, -0.03, 0.05)
    found = [
        difference(*each, budget)
        for each, budget in zip((sure, unsure, sure, unsure), (4, 16, 64, 256), strict=True)
    ]
    better = "use `probe` (ROC AUC 0.800, +0.100 over `embedding`, 95 % +0.050 to +0.150)"
    undecided = (
        "use `embedding`, 60 times cheaper, while it is undecided whether `probe` is better "
        "(ROC AUC 0.700, -0.010, 95 % -0.050 to +0.030)"
    )
    assert sentence(rows, found) == (
        f"With 4 labels {better}; with 16 labels {undecided}; with 64 labels {better}; "
        f"with 256 labels {undecided}."
    )


def test_one_answer_for_all_budgets_is_not_drawn_on():
    rows = [*choices(4), *choices(16)]
    found = [difference(0.1, 0.05, 0.15, 4), difference(0.1, 0.06, 0.14, 16)]
    assert sentence(rows, found) == (
        "With 4 to 16 labels use `probe` (ROC AUC 0.800, at 4 labels +0.100 over `embedding`, "
        "95 % +0.050 to +0.150)."
    )


# -- no label ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auc", "text"),
    [
        (0.6, "use `zero-shot` (ROC AUC 0.600, 95 % 0.570 to 0.630, above 0.5)"),
        (0.52, "`zero-shot` is not surely above 0.5 (ROC AUC 0.520, 95 % 0.490 to 0.550)"),
        (0.4, "`zero-shot` ranks the wrong way round (ROC AUC 0.400, 95 % 0.370 to 0.430)"),
    ],
)
def test_without_labels_it_says_whether_the_wording_ranks_at_all(auc, text):
    assert sentence([row("zero-shot", 0, auc), row("prior", 0, 0.9)], []) == (
        f"With no label {text}."
    )


def test_without_an_interval_it_says_no_more_than_the_figure():
    bare = row("zero-shot", 0, 0.7, reach=NAN)
    assert sentence([bare], []) == "With no label there is `zero-shot` (ROC AUC 0.700)."


# -- where nothing was chosen ------------------------------------------------------------------


def test_without_choices_it_says_what_is_highest_and_how_sure():
    rows = [
        row("probe", 16, 0.8),
        row("probe", 16, 0.9, seed=1),
        row("embedding", 16, 0.89),
        row("embedding", 16, 0.71, seed=1),
        row("probe", 1024, 0.90),
        row("embedding", 1024, 0.93),
        row("prior", 1024, 0.5),
        row(CHOSEN_WITH, 1024, 0.99, chosen="probe"),  # one choice alone is no comparison
    ]
    differences = [
        difference(0.05, 0.03, 0.07, 16, "probe", "embedding"),
        difference(-0.03, -0.05, -0.01, 1024, "probe", "embedding"),
    ]
    assert sentence(rows, differences) == (
        "With 16 labels `probe` is highest (ROC AUC 0.850, +0.050 over `embedding`, "
        "95 % +0.030 to +0.070: better); "
        "with 1,024 labels `embedding` is highest (ROC AUC 0.930, 95 % of single draws 0.900 to 0.960)."
    )


def test_what_cannot_be_ranked_is_left_out():
    rows = [row("x", 4, NAN), row("x", 1, NAN), row("y", 1, 0.6), row("x", 16, NAN)]
    assert sentence(rows, []) == (
        "With 1 label `y` is highest (ROC AUC 0.600, 95 % of single draws 0.570 to 0.630)."
    )
    assert sentence([row("x", 4, NAN)], []) == "Nothing was compared."
    assert sentence([], []) == "Nothing was compared."
    assert sentence([row(CHOSEN_WITH, 4, chosen="probe")], []) == "Nothing was compared."


# -- several models ----------------------------------------------------------------------------


def test_each_model_has_a_sentence_as_if_it_stood_alone():
    """The advice between choices, and the guard at 0.5: not the highest of all on the test rows."""

    def of(model, rows, gap):
        named = {"chosen-with-lm": f"chosen-with-lm @ {model}", "zero-shot": f"zero-shot @ {model}"}
        rows = [
            each.model_copy(update={"approach": named.get(each.approach, each.approach)})
            for each in rows
        ]
        return rows, gap.model_copy(update={"approach": named["chosen-with-lm"]})

    alone = {
        "a": ([row("zero-shot", 0, 0.9), *choices(16)], difference(0.1, 0.05, 0.15, 16)),
        "b": ([row("zero-shot", 0, 0.4), *choices(16)], difference(0.01, -0.03, 0.05, 16)),
    }
    rows, gaps = [], []
    for model, (own, gap) in alone.items():
        named, renamed = of(model, own, gap)
        rows += [each for each in named if each not in rows]
        gaps.append(renamed)
    assert sentence(rows, gaps) == "\n".join(
        f"`{model}`: {sentence(own, [gap])}" for model, (own, gap) in alone.items()
    )
    assert "`zero-shot` ranks the wrong way round (ROC AUC 0.400" in sentence(rows, gaps)


def beside(value, low, high, budget, approach="few-shot", models=("a+reader", "a")):
    named = [f"{approach} @ {model}" for model in models]
    return difference(value, low, high, budget, *named)


@pytest.mark.parametrize(
    ("gaps", "line"),
    [
        (
            [
                beside(-0.05, -0.08, -0.02, 0, "zero-shot"),
                beside(0.09, 0.05, 0.13, 4),
                beside(0.01, -0.03, 0.05, 4, "probe"),
                beside(0.04, 0.01, 0.07, 1024),
                beside(0.0, -0.01, 0.01, 64, "probe"),
            ],
            "`a+reader` beside `a`: With 4 and 1,024 labels `few-shot` ranks higher (+0.040 to +0.090, "
            "at 1,024 labels, 95 % +0.010 to +0.070); with no label `zero-shot` ranks lower (-0.050, 95 % "
            "-0.080 to -0.020).",
        ),
        (
            [beside(-0.05, -0.06, -0.04, budget) for budget in (0, 1)]
            + [beside(-0.05, -0.09, -0.01, 4)],
            "`a+reader` beside `a`: With 0, 1 and 4 labels `few-shot` ranks lower (-0.050, at 4 labels, "
            "95 % -0.090 to -0.010).",
        ),
        (
            [beside(0.01, -0.03, 0.05, 4), beside(0.0, -0.01, 0.01, 16)],
            "`a+reader` beside `a`: No approach ranks surely higher or lower.",
        ),
    ],
)
def test_a_model_beside_the_first(gaps, line):
    rows = [row(f"few-shot @ {model}", 4) for model in ("a", "a+reader")]
    assert sentence(rows, gaps).split("\n") == [*sentence(rows, []).split("\n"), line]


def test_each_further_model_stands_beside_the_first():
    rows = [row(f"few-shot @ {model}", 4) for model in ("a", "b", "c")]
    gaps = [
        beside(0.1, 0.05, 0.15, 4, models=("b", "a")),
        beside(-0.1, -0.15, -0.05, 4, models=("c", "a")),
    ]
    assert sentence(rows, gaps).split("\n")[3:] == [
        "`b` beside `a`: With 4 labels `few-shot` ranks higher (+0.100, 95 % +0.050 to +0.150).",
        "`c` beside `a`: With 4 labels `few-shot` ranks lower (-0.100, 95 % -0.150 to -0.050).",
    ]


# -- folds -------------------------------------------------------------------------------------


def test_where_the_folds_chose_several_approaches_their_side_is_advised():
    """The figures are those of the choice: of 3 folds, 2 had text and 1 structured."""
    rows = choices(16, 0.6, 0.8, members=("probe", "text, structured"))
    assert sentence(rows, [difference(-0.2, -0.25, -0.15, 16)]) == (
        "With 16 labels use no language model, as the labels choose (ROC AUC 0.800, +0.200 over "
        "`probe`, 95 % +0.150 to +0.250)."
    )


# -- the stack ---------------------------------------------------------------------------------


def stacked(value, low, high, budget):
    given = {"approach": "stack", "against": "chosen-single"}
    return difference(value, low, high, budget).model_copy(update=given)


def test_where_the_stack_is_better_than_any_one_approach_it_is_said():
    rows = [*choices(16), *choices(64), *choices(256)]
    plain = [difference(0.1, 0.05, 0.15, budget) for budget in (16, 64, 256)]
    told = sentence(rows, plain).removesuffix(".")
    both = [
        stacked(0.06, 0.02, 0.1, 16),
        stacked(0.0, -0.03, 0.03, 64),
        stacked(0.04, 0.01, 0.07, 256),
    ]
    assert sentence(rows, [*plain, *both]) == (
        f"{told}; with 16 and 256 labels `stack`, which joins both sides, ranks higher than the one "
        "approach that the labels choose among all (+0.040 to +0.060, at 256 labels, 95 % +0.010 to "
        "+0.070)."
    )
    assert sentence(rows, [*plain, both[0]]) == (
        f"{told}; with 16 labels `stack`, which joins both sides, ranks higher than the one "
        "approach that the labels choose among all (+0.060, 95 % +0.020 to +0.100)."
    )
    assert sentence(rows, [*plain, both[1]]) == f"{told}."
