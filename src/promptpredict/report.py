"""The report of a comparison: one HTML file that needs nothing else, and its pictures as PNG.

Knows the page; knows nothing of how the figures came about, nor of drawing. All that a user or a
customer wrote is escaped; the page has no script and loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from promptpredict.curves import SIDES, at, series
from promptpredict.errors import DataError
from promptpredict.plans import CHOICES
from promptpredict.plural import counted
from promptpredict.reporttables import (
    Table,
    crossover_table,
    difference_table,
    figure_tables,
    labels_of,
    meanings_table,
    pairs_table,
    signed,
)
from promptpredict.results import LEADING, Crossover, Results, Row, base_of, leading
from promptpredict.runtables import (
    attack_tables,
    mass_table,
    share_table,
    shots_table,
    truncation_table,
)
from promptpredict.writing import whole

if TYPE_CHECKING:
    from pandas import DataFrame

    from promptpredict.pictures import Gallery

_OF_MODEL = re.compile(r"(`.*`: )(With .*)")
_FIGURES = re.compile(r" \(((?:ROC AUC |Spearman |[+-]\d).*)\)$")
TEMPLATE = Path(__file__).parent / "data" / "report.html"


def write_report(
    folder: Path, results: Results, predictions: DataFrame, *, positive: str | None
) -> Path:
    """Write report.html and pictures/*.png into a folder, each whole or not at all.

    Pictures of an earlier report that this one has not are removed.

    ``predictions`` is the table of predictions.parquet; ``positive`` the key of the positive
    label, None for a multi-class task, which has no curves of ranking. Returns the path of
    report.html. Raises DataError where the folder cannot be written.
    """
    from promptpredict.pictures import NAMES, gallery

    shown = gallery(results, predictions, positive)
    page = render(results, shown, positive=positive, predictions=predictions)
    report = folder / "report.html"
    try:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        for name in set(NAMES) - shown.pictures.keys():
            (folder / "pictures" / f"{name}.png").unlink(missing_ok=True)
        for name, picture in shown.pictures.items():
            with whole(folder / "pictures" / f"{name}.png") as draft:
                draft.write_bytes(picture.png)
        with whole(report) as draft:
            draft.write_bytes(page.encode())
    except OSError as error:
        raise DataError(f"{folder}: the report cannot be written ({error.strerror})") from None
    return report


def render(
    results: Results,
    shown: Gallery,
    *,
    positive: str | None,
    predictions: DataFrame | None = None,
) -> str:
    """Return the page as HTML; ``predictions`` are shown where there are several labels."""
    from promptpredict.theme import page, side_by_side

    seeds = len({row.seed for row in results.rows})
    with side_by_side(row.approach for row in results.rows):
        return page(
            TEMPLATE,
            {"marked": marked, "clauses": _clauses},
            results=results,
            gallery=shown,
            positive=positive,
            title=", ".join(_once(row.table for row in results.rows)) or "No table",
            facts=_facts(results),
            seeds=counted(seeds, "seed"),
            n_test=f"{max((row.n_test for row in results.rows), default=0):,}",
            **_legends(shown),
            gallery_note=_gallery_note(shown, seeds),
            no_curves=_no_curves(results, positive),
            text_said=_text_said(results, shown.budget),
            labels_of=labels_of,
            **_tables(results, several=positive is None),
            several=[] if positive is not None else _of_labels(results, predictions),
        )


def _clauses(verdict: str) -> list[tuple[str, str]]:
    """Return the parts of a verdict, each as what it advises and its figures.

    A line is about one of several models, whose name stands before each of its parts, or a remark.
    """
    found = []
    for line in verdict.splitlines():
        model, text = match.groups() if (match := _OF_MODEL.match(line)) else ("", line)
        for part in re.split(r"; (?=with )", text.removesuffix(".")):
            figures = _FIGURES.search(part)
            advice = part[: figures.start()] if figures else part
            first = advice if model else re.sub("^with", "With", advice)
            found.append((f"{model}{first}", figures[1] if figures else ""))
    return found


def marked(text: str) -> Markup:
    """Return a text as HTML: escaped, and what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _of_labels(results: Results, predictions: DataFrame | None) -> list[Table]:
    """Return what was taken for what, and each label's figures."""
    if predictions is None or predictions.empty or "amount" in predictions:
        return []
    from promptpredict.confusion import confusion_table, label_table

    tables = [make(results.rows, predictions) for make in (confusion_table, label_table)]
    return [table for table in tables if table.parts]


def _tables(results: Results, *, several: bool) -> dict[str, Any]:
    about = results.about
    first = {*SIDES, *CHOICES}
    main = [
        one for one in results.differences if {base_of(one.approach), base_of(one.against)} <= first
    ]
    main = main or results.differences
    others = [one for one in results.differences if one not in main]
    read = {
        "started": about.started,
        "seconds": f"{about.seconds:,.0f}" if about.seconds else "",
        "hardware": about.hardware,
        "prompts and models": f"{about.prompts:,}",
        "prompts read by a language model": f"{about.passes:,}",
        "tokens read": f"{about.tokens:,}",
    }
    return {
        "differences": difference_table("Differences of the main approaches", main, results.rows),
        "other_differences": difference_table(
            f"{len(others)} more differences", others, results.rows
        ),
        "crossovers": _crossovers(results),
        "figures": figure_tables(results.rows),
        "shares": share_table(results.shares),
        "attacks": attack_tables(results.attacks),
        "mass": mass_table(about.label_mass),
        "meanings": meanings_table(
            (row.approach for row in results.rows),
            several=several,
            amounts=leading(results.rows) == "spearman",
        ),
        "truncated": truncation_table(about.truncated),
        "shots": shots_table(about.shots),
        "run": [
            pairs_table("Records and splits", about.counts),
            pairs_table("Time and reading", {name: value for name, value in read.items() if value}),
            pairs_table("Settings", about.settings),
            pairs_table("Versions", about.versions),
        ],
    }


def _facts(results: Results) -> dict[str, str]:
    """Return what a reader wants to know first, beside the verdict."""
    rows = results.rows
    budgets = sorted({row.budget for row in rows})
    facts = {
        "Test rows": f"{max((row.n_test for row in rows), default=0):,}",
        "Label budgets": ", ".join(f"{budget:,}" for budget in budgets),
        "Seeds": str(len({row.seed for row in rows})),
        "Approaches": str(len({row.approach for row in rows})),
        "Language model": ", ".join(_models(rows, with_lm=True)),
        "Sentence encoder": ", ".join(_models(rows, with_lm=False)),
        "Prompt file": ", ".join(_once(row.prompt for row in rows)),
    }
    return {name: value for name, value in facts.items() if value}


def _models(rows: Iterable[Row], *, with_lm: bool) -> list[str]:
    """Return the models of one side; the stack counts as a language model's."""
    from promptpredict.theme import WITHOUT, style_of

    return _once(
        row.model
        for row in rows
        if any(style_of(name).side != WITHOUT for name in row.members) == with_lm
    )


def _legends(shown: Gallery) -> dict[str, list[dict[str, Any]]]:
    from promptpredict.pictures import TEXT
    from promptpredict.theme import swatch

    at_zero = {
        name: f"{name} (no labels)" for name, budget in shown.detailed.items() if budget == 0
    }
    text = [
        {"swatch": swatch(name, strong=True, joined=False), "text": f"{said} ({name})", "strong": 1}
        for name, said in TEXT.items()
        if name in shown.legend
    ]
    return {
        "sides": _sides(shown.legend, {}),
        "detail_sides": _sides(dict.fromkeys(shown.detailed, True), at_zero),
        "cost_sides": _sides(dict.fromkeys(shown.priced, True), {}),
        "text_sides": [{"name": "None of them uses a language model", "items_": text}],
    }


def _sides(approaches: dict[str, bool] | Any, names: dict[str, str]) -> list[dict[str, Any]]:
    """Return the legend of approaches, grouped by the side they are on."""
    from promptpredict.theme import BOTH, WITH, WITHOUT, style_of, swatch

    made = []
    for side in (WITH, WITHOUT, BOTH):
        items = [
            {
                "swatch": swatch(name, strong=strong),
                "text": names.get(name, name),
                "strong": strong,
            }
            for name, strong in approaches.items()
            if style_of(name).side == side
        ]
        made += [{"name": side, "items_": items}] if items else []
    return made


def _gallery_note(shown: Gallery, seeds: int) -> str:
    budget = f"{shown.budget or 0:,}"
    mean = f" Curves are the mean of the {seeds} seeds' own curves." if seeds > 1 else ""
    return (
        f"The pictures of this part show one budget, {budget} labels: the first that the verdict "
        f"speaks of, or else the largest that the main approaches share.{mean}"
    )


def _no_curves(results: Results, positive: str | None) -> str:
    if leading(results.rows) == "spearman":
        return (
            "Curves of ranking, reliability and lift are drawn for labels; this task has amounts, and "
            "the table below has their errors and how many lie in their interval."
        )
    if positive is None and results.rows:
        return (
            "Curves of ranking, reliability and lift are drawn for tasks with one positive label; "
            "this one has several labels of equal standing, and the tables below have its figures."
        )
    return "There are no predictions of which curves could be drawn."


def _text_said(results: Results, budget: int | None) -> str:
    """Say what text adds to columns and columns to text at the budget that is shown."""
    metric = leading(results.rows)
    quality = series(results.rows, metric)
    if budget is None or not quality.keys() >= {"structured", "text", "fusion"}:
        return ""
    found = [at(quality[name], budget) for name in ("structured", "text", "fusion")]
    if None in found:
        return ""
    columns, text, both = (point.value for point in found if point is not None)
    return (
        f"With {labels_of(budget)}, both together reach a {LEADING[metric]} of {both:.3f}: "
        f"{signed(both - columns)} against the columns alone and {signed(both - text)} against "
        "the text alone."
    )


def _crossovers(results: Results) -> list[Table]:
    """Return from how many labels on approaches of one side are as good as those of the other."""
    from promptpredict.theme import WITH, style_of

    sides: dict[bool, list[Crossover]] = {True: [], False: []}
    for one in results.crossovers:
        sides[style_of(one.approach).side == WITH].append(one)
    captions = {
        True: "With a language model, from how many labels on as good as without",
        False: "Without a language model, from how many labels on as good as with one",
    }
    return [crossover_table(captions[side], own) for side, own in sides.items() if own]


def _once(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
