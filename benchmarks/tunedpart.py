"""The section of the results page about an adapter trained on the labels.

Knows the results of the run `tuned`; knows nothing of how an adapter is trained.
"""

from __future__ import annotations

from collections.abc import Mapping

from cells import hangs, spread, table
from promptpredict.results import Results, Row, summarise

TUNED, AGAINST = "tuned", ("probe", "few-shot", "embedding", "stack")


def tuned_part(found: Mapping[str, Mapping[str, Results]]) -> list[str]:
    """Return how an adapter trained on the labels stands against what needs no training of a model."""
    known = {
        name: runs[TUNED] for name, runs in found.items() if TUNED in runs and _trained(runs[TUNED])
    }
    if not known:
        return []
    lines, gaps = [], []
    for name, results in known.items():
        groups = {(group.approach, group.budget): group for group in summarise(results.rows)}
        differences = {
            (each.against, each.budget): each
            for each in results.differences
            if each.approach == TUNED
        }
        for budget in sorted(budget for approach, budget in groups if approach == TUNED):
            row = [groups.get((each, budget)) for each in (TUNED, *AGAINST)]
            cells = [spread(each.metrics["roc_auc"], each.seeds) if each else "" for each in row]
            lines.append([name, f"{budget:,}", *cells])
            pairs = [differences.get((each, budget)) for each in AGAINST]
            said = [each.describe() + hangs(each, results.rows) if each else "" for each in pairs]
            gaps.append([name, f"{budget:,}", *said])
    against = [f"`{each}`" for each in AGAINST]
    return [
        "## An adapter trained on the labels",
        table(["ROC AUC", "labels", f"`{TUNED}`", *against], lines),
        f"By how much `{TUNED}` is ahead of each, ROC AUC paired over test rows and seeds; the word is "
        "from the interval, which is corrected for those of a table and budget together:",
        table([f"`{TUNED}` less", "labels", *against], gaps),
        _tuned_on(known),
    ]


def _trained(results: Results) -> list[Row]:
    """Return the rows of adapters."""
    return [row for row in results.rows if row.approach == TUNED]


def _tuned_on(known: Mapping[str, Results]) -> str:
    """Return by what the adapters were trained, and on which draws."""
    first, *_ = known.values()
    tests = sorted({results.rows[0].n_test for results in known.values()})
    seeds = sorted({row.seed for row in _trained(first)})
    name, *_, dtype = first.about.settings["models"][0].split()
    said = dict.fromkeys(
        f"{each.about.hardware}; commit {each.about.versions.get('commit', '?')}"
        for each in known.values()
    )
    draws = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"{name} in {dtype.removeprefix('torch.')}, read and trained on {', and '.join(said)}. "
        f"{' or '.join(f'{count:,}' for count in tests)} test rows; means ± standard deviations over "
        f"draws of the labels ({draws})."
    )
