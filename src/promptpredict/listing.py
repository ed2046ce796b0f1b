"""Results as an aligned table of text, as the terminal shows it.

Knows rows of results; knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptpredict.results import Results, Share, Spread, summarise

SHOWN = (
    *("roc_auc", "pr_auc", "brier", "log_loss", "ece", "balanced_accuracy", "f1", "lift_10"),
    *("spearman", "gini", "mae", "rmse", "pinball", "coverage"),
    "seconds_per_1000",
)
_PRICED = {
    "roc_auc": "roc auc",
    "gain": "gain",
    "tokens_per_1000": "tokens per 1000",
    "seconds_per_1000": "seconds per 1000",
}  # of a cascade
_MONEY = ("mae", "rmse", "pinball")  # in the unit of the amounts


def table_text(results: Results) -> str:
    """Return the results as an aligned table: mean over the seeds, and ± their spread."""
    names = [name for name in SHOWN if any(name in row.metrics for row in results.rows)]
    lines = [["approach", "labels", *(name.replace("_", " ") for name in names)]]
    for group in summarise(results.rows):
        cells = [_cell(name, group.metrics.get(name), group.seeds) for name in names]
        lines.append([group.approach, f"{group.budget:,}", *cells])
    rows = [*_lines(lines), *_shares(results.shares)]
    n_test = results.rows[0].n_test if results.rows else 0
    return "\n".join([*rows, "", f"{n_test:,} test rows, the same for all. {results.verdict}"])


def _shares(shares: Sequence[Share]) -> list[str]:
    """Return what a cascade is worth and costs, by the share of customers that it asks for."""
    if not shares:
        return []
    means: dict[tuple[str, int, float], list[Share]] = {}
    for one in shares:
        means.setdefault((one.approach, one.budget, one.share), []).append(one)
    lines = [["asks for", "labels", "asked", *_PRICED.values()]]
    for (approach, budget, share), each in means.items():
        spread = summarise(each)[0].metrics
        cells = [_cell(name, spread.get(name), len(each)) for name in _PRICED]
        asked = sum(one.asked for one in each) / len(each)
        lines.append(
            [f"{approach}, {100 * share:.0f} %", f"{budget:,}", f"{100 * asked:.0f} %", *cells]
        )
    return ["", *_lines(lines)]


def _lines(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [_aligned(line, widths) for line in lines]


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def _cell(name: str, value: Spread | None, seeds: int) -> str:
    if value is None:
        return ""
    if name == "seconds_per_1000":
        return f"{value.mean:.1f}"
    if name == "tokens_per_1000":
        return f"{value.mean:,.0f}"
    if name in _MONEY:
        return f"{value.mean:,.4g}" + (f" ±{value.sd:.2g}" if seeds > 1 else "")
    return f"{value.mean:.3f}" + (f" ±{value.sd:.3f}" if seeds > 1 else "")
