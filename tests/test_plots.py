"""Curves against numbers that can be told by hand; pictures against their own bytes."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from sklearn.metrics import roc_auc_score

from promptpredict import plots
from promptpredict.curves import (
    Point,
    at,
    main_approaches,
    needs_no_label,
    rankings,
    series,
    spoken_budget,
)
from promptpredict.metrics import evaluate
from promptpredict.pictures import gallery, in_words
from promptpredict.results import Row, Value
from promptpredict.theme import (
    BOTH,
    COLOURS,
    STYLES,
    WITH,
    WITHOUT,
    drawing,
    png,
    side_by_side,
    style_of,
    svg,
    swatch,
)
from sample_results import sample_results


def row(approach, budget, seed=0, **metrics):
    values = {
        name: Value(value=value[0], low=value[1], high=value[2])
        if isinstance(value, tuple)
        else Value(value=value)
        for name, value in metrics.items()
    }
    return Row(
        table="t",
        prompt="p",
        model="m",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=4,
        metrics=values,
    )


def predicted(*seeds):
    parts = [
        pd.DataFrame(
            {"approach": "probe", "budget": 4, "seed": seed, "label": labels, "p_1": scores}
        )
        for seed, (labels, scores) in enumerate(seeds)
    ]
    return pd.concat(parts)


def test_points_are_means_over_the_seeds_and_skip_what_is_missing():
    rows = [
        row("probe", 16, 0, roc_auc=(0.8, 0.7, 0.9)),
        row("probe", 16, 1, roc_auc=(0.6, 0.5, 0.7)),
        row("probe", 4, 0, roc_auc=0.55),
        row("probe", 4, 1, roc_auc=None),
        row("prior", 4, 0, roc_auc=None),
    ]
    assert series(rows, "roc_auc") == {
        "probe": [Point(4, 0.55, None, None), Point(16, pytest.approx(0.7), 0.6, 0.8)]
    }
    assert series(rows, "brier") == {}


def test_an_approach_without_labels_stands_at_every_budget():
    zero, probe = [Point(0, 0.9, None, None)], [Point(4, 0.8, None, None)]
    assert needs_no_label(zero)
    assert not needs_no_label(probe)
    assert at(zero, 64) == zero[0]
    assert at(probe, 4) == probe[0]
    assert at(probe, 64) is None


@pytest.mark.parametrize(
    ("verdict", "budget"),
    [
        ("With 16 labels, use probe.", 16),
        ("With 1,024 labels, use probe; with 4 labels, too.", 1024),
        ("With 99 labels nothing is known, with 4 labels use probe.", 4),
        ("With 4 to 16 labels use probe, from 1,024 labels on both.", 4),
        ("With no label nothing was tried.", 1024),
        ("", 1024),
    ],
)
def test_the_budget_shown_is_the_first_that_the_verdict_names(verdict, budget):
    rows = [
        row(name, n, roc_auc=0.5)
        for name in ("chosen-with-lm", "chosen-without-lm")
        for n in (4, 16, 1024)
    ]
    # One side alone stands here: not a budget at which sides are compared.
    rows.append(row("chosen-with-lm", 99, roc_auc=0.5))
    assert spoken_budget(rows, verdict) == budget


def test_no_rows_have_no_budget():
    assert spoken_budget([], "With 4 labels …") is None


def test_the_main_approaches_are_the_choices_and_the_best_two_others():
    found = {
        "prior": 0.5,
        "text": 0.7,
        "stack": 0.6,
        "probe": 0.8,
        "chosen-with-lm": 0.75,
        "panel": 0.6,
    }
    found["chosen-single"] = 0.9
    points = {name: [Point(4, value, None, None)] for name, value in found.items()}
    assert main_approaches(points, 4) == ["chosen-with-lm", "stack", "probe", "text"]


def test_a_perfect_ranking_has_perfect_curves():
    ranking, _ = rankings(predicted((list("1100"), [0.9, 0.8, 0.2, 0.1])), "probe", 4, "1")
    assert ranking.base == 0.5
    np.testing.assert_allclose(ranking.found, 1)
    np.testing.assert_allclose(ranking.precision, 1)
    lift = dict(zip(ranking.share.round(3), ranking.lift, strict=True))
    assert lift[0.25] == pytest.approx(2)
    assert lift[1.0] == pytest.approx(1)


def test_equal_scores_rank_as_chance():
    ranking, bins = rankings(predicted((list("1000"), [0.3] * 4)), "probe", 4, "1")
    np.testing.assert_allclose(ranking.found, ranking.misses)
    np.testing.assert_allclose(ranking.precision, 0.25)
    np.testing.assert_allclose(ranking.lift, 1)
    assert (bins.predicted.tolist(), bins.observed.tolist()) == ([pytest.approx(0.3)], [0.25])


def test_precision_counts_the_misses_before_a_recall_is_reached():
    ranking, _ = rankings(predicted((list("1010"), [0.9, 0.8, 0.7, 0.6])), "probe", 4, "1")
    precision = dict(zip(ranking.recall.round(3), ranking.precision, strict=True))
    assert precision[0.5] == pytest.approx(1)
    assert precision[1.0] == pytest.approx(2 / 3)


def test_the_area_under_the_curve_is_the_roc_auc_of_every_seed():
    drawn = np.random.default_rng(3)
    labels = (drawn.random(500) < 0.3).astype(int)
    scores = [labels * 0.3 + drawn.random(500) for _ in range(2)]
    ranking, _ = rankings(
        predicted(*((list(labels.astype(str)), each) for each in scores)), "probe", 4, "1"
    )
    area = np.trapezoid(ranking.found, ranking.misses)
    assert area == pytest.approx(np.mean([roc_auc_score(labels, s) for s in scores]), abs=0.004)


def test_the_curves_of_folds_are_those_of_the_figures():
    """Each fold at a level of its own, as models that were fitted apart are."""
    drawn = np.random.default_rng(5)
    labels = (drawn.random(600) < 0.3).astype(int)
    folds = np.repeat([0, 1, 2], [100, 200, 300])
    scores = labels * 0.2 + drawn.random(600) + folds * (1 - labels)
    table = predicted((list(labels.astype(str)), scores)).assign(fold=folds)
    ranking, _ = rankings(table, "probe", 4, "1")
    said = np.column_stack([1 - scores / 9, scores / 9])
    figures = evaluate(
        list(labels.astype(str)), said, labels=["0", "1"], positive="1", folds=folds.tolist()
    )
    assert np.trapezoid(ranking.found, ranking.misses) == pytest.approx(
        figures["roc_auc"], abs=0.004
    )
    lift = dict(zip(ranking.share.round(3), ranking.lift, strict=True))
    for share in (5, 10, 20):
        assert lift[share / 100] == pytest.approx(figures[f"lift_{share}"], abs=1e-9)


def test_bars_of_reliability_count_a_test_row_once_however_many_seeds():
    seed = (list("10" * 50), np.repeat([0.2, 0.8], 50))
    _, once = rankings(predicted(seed), "probe", 4, "1")
    _, thrice = rankings(predicted(seed, seed, seed), "probe", 4, "1")
    np.testing.assert_allclose(once.observed, 0.5)
    np.testing.assert_allclose(once.high - once.low, 0.267, atol=0.001)  # Wilson's for 25 of 50
    np.testing.assert_allclose(thrice.high, once.high)


@pytest.mark.parametrize("asked", [("panel", 4, "1"), ("probe", 16, "1"), ("probe", 4, "2")])
def test_what_was_not_predicted_has_no_curve(asked):
    assert rankings(predicted((["1", "0"], [0.9, 0.1])), *asked) is None


def test_one_kind_of_rows_has_no_curve():
    assert rankings(predicted((["1", "1"], [0.9, 0.1])), "probe", 4, "1") is None


def test_words_say_what_a_picture_shows():
    points = {
        "zero-shot": [Point(0, 0.9, None, None)],
        "probe": [Point(4, 0.8, 0.7, 0.9), Point(1000, 0.95, 0.9, 1)],
    }
    assert in_words("ROC AUC", points, ["probe", "zero-shot", "panel"]) == (
        "ROC AUC by labels. probe: 0.800 at 4, 0.950 at 1,000. zero-shot: 0.900 without labels."
    )


def test_styles_are_told_apart_and_show_the_side():
    looks = [(style.colour, style.marker) for style in STYLES.values()]
    assert len(set(looks)) == len(looks)
    assert len({pair[0] for pair in COLOURS.values()}) == len(COLOURS)
    assert style_of("zero-shot").dashes == ()
    assert style_of("embedding").dashes != style_of("stack").dashes
    assert style_of("of a later version") == style_of("of another")
    assert "stroke=" in swatch("probe", strong=True)
    names = ["probe @ one", "probe @ two", "stack @ one", "stack @ two", "text"]
    with side_by_side(names):
        assert [style_of(name).colour for name in names] == [
            "indigo", "indigo", "stack", "stack", "brown",
        ]  # fmt: skip
        assert [style_of(name).side for name in names] == [WITH, WITH, BOTH, BOTH, WITHOUT]
        assert style_of("probe @ one") == style_of("probe")
        assert style_of("probe @ two").marker != style_of("probe @ one").marker
        assert style_of("stack @ two").marker != style_of("stack @ one").marker
    assert "stroke=" not in swatch("probe", strong=True, joined=False)


@pytest.fixture(scope="module")
def shown():
    return gallery(*sample_results(), "1")


@pytest.fixture
def figure():
    with drawing():
        yield plots.learning({"probe": [Point(4, 0.8, 0.7, 0.9)]}, ["probe"], "cost in $ & $")


def test_a_picture_takes_its_colours_from_the_page(figure):
    drawn = svg(figure, "one", 'says "what"')
    assert drawn.startswith('<svg class="plot" role="img" aria-label="says &#34;what&#34;"')
    assert "var(--indigo)" in drawn
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)
    assert "cost in $ &amp; $" in drawn
    assert "DejaVu" not in drawn


def test_ids_of_a_picture_are_its_own_and_all_there(figure):
    drawn = svg(figure, "one", "")
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert ids
    assert all(each.startswith("one-") for each in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', drawn)) == set(ids)


@pytest.mark.slow
def test_pictures_are_the_same_bytes_every_time_and_whatever_the_user_has_set(shown):
    import matplotlib

    results, predictions = sample_results()
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        again = gallery(results, predictions, "1")
        assert matplotlib.rcParams["font.size"] == 30
    assert shown == again
    assert [*shown.pictures] == [
        "learning-roc-auc",
        "learning-pr-auc",
        "learning-brier",
        "roc",
        "precision-recall",
        "reliability",
        "lift",
        "cost",
        "text-adds",
    ]
    assert all(one.png.startswith(b"\x89PNG") for one in shown.pictures.values())


def test_the_gallery_says_what_it_shows(shown):
    assert shown.budget == 16
    assert shown.detailed == {
        "chosen-with-lm": 16,
        "chosen-without-lm": 16,
        "stack": 16,
        "zero-shot": 0,
    }
    assert "prior" not in shown.priced
    assert shown.legend["stack"]
    assert not shown.legend["prior"]
    assert (
        'aria-label="ROC curve. Share of positives found with a tenth' in shown.pictures["roc"].wide
    )
    assert "zero-shot" in shown.pictures["cost"].wide


def test_names_in_the_picture_of_costs_do_not_meet():
    close = {f"approach {n}": (100 + n / 1000, 0.9) for n in range(40)} | {"far": (1, 0.5)}
    with drawing():
        figure = plots.cost(close, "ROC AUC")
        figure.draw_without_rendering()
        boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert 4 < len(boxes) < 41  # what finds no room is left to the legend
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_names_at_the_ends_of_lines_do_not_meet():
    curves = {name: [Point(4, 0.5, None, None), Point(16, 0.9, None, None)] for name in STYLES}
    with drawing():
        figure = plots.learning(curves, list(STYLES)[:9], "ROC AUC", size=plots.WIDE)
        assert png(figure, "title")
        figure.draw_without_rendering()  # the picture just saved was measured in dots of its own
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 9
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_a_line_below_the_picture_has_no_name_at_its_end():
    curves = {"text": [Point(16, 0.9, None, None)], "prior": [Point(16, 0.5, None, None)]}
    with drawing(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.learning(curves, list(curves), "ROC AUC", size=plots.WIDE)
        assert png(figure, "title")
        alone = plots.learning({"prior": curves["prior"]}, ["prior"], "ROC AUC", size=plots.WIDE)
        assert png(alone, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["text"]


def test_missing_intervals_and_single_points_are_drawn():
    bare = {"structured": [Point(4, 0.5, None, None)], "text": [Point(4, 0.6, 0.5, 0.7)]}
    with drawing():
        for figure in (plots.learning(bare, list(bare), "x"), plots.text_adds(bare, "x")):
            assert png(figure, "title")
