"""The section of the results page about an adapter trained on the labels.

Knows the results of the runs `tuned-64` to `tuned-1024`; knows nothing of how an adapter is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cells import hangs, spread, table
from promptpredict.results import Results, Row, summarise

TUNED, AGAINST = "tuned", ("probe", "few-shot", "embedding", "stack")
RUNS = ("tuned-64", "tuned-256", "tuned-1024")


def tuned_part(found: Mapping[str, Mapping[str, Results]]) -> list[str]:
    """Return how an adapter trained on the labels stands against what needs no training of a model."""
    known = [
        (name, runs[run])
        for name, runs in found.items()
        for run in RUNS
        if run in runs and _trained(runs[run])
    ]
    if not known:
        return []
    lines, gaps = [], []
    for name, results in known:
        budget = _trained(results)[0].budget
        groups = {(group.approach, group.budget): group for group in summarise(results.rows)}
        row = [groups.get((each, budget)) for each in (TUNED, *AGAINST)]
        cells = [spread(each.metrics["roc_auc"], each.seeds) if each else "" for each in row]
        lines.append([name, f"{budget:,}", *cells])
        pairs = {each.against: each for each in results.differences if each.approach == TUNED}
        said = [
            pairs[each].describe() + hangs(pairs[each], results.rows) if each in pairs else ""
            for each in AGAINST
        ]
        gaps.append([name, f"{budget:,}", *said])
    against = [f"`{each}`" for each in AGAINST]
    return [
        "## An adapter trained on the labels",
        table(["ROC AUC", "labels", f"`{TUNED}`", *against], lines),
        f"By how much `{TUNED}` is ahead of each, ROC AUC paired over test rows and seeds; the word is "
        "from the interval, which is corrected for those of a table and budget together:",
        table([f"`{TUNED}` less", "labels", *against], gaps),
        _tuned_on([results for _, results in known]),
    ]


def _trained(results: Results) -> list[Row]:
    """Return the rows of adapters."""
    return [row for row in results.rows if row.approach == TUNED]


def _tuned_on(known: Sequence[Results]) -> str:
    """Return by what the adapters were trained, and on which draws."""
    tests = sorted({results.rows[0].n_test for results in known})
    seeds = sorted({row.seed for row in _trained(known[0])})
    name, *_, dtype = known[0].about.settings["models"][0].split()
    commits: dict[str, dict[str, None]] = {}
    for each in known:
        of = commits.setdefault(each.about.hardware, {})
        of[each.about.versions.get("commit", "?")] = None
    said = "; ".join(f"{on}, commit {' or '.join(of)}" for on, of in commits.items())
    draws = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return (
        f"{name} in {dtype.removeprefix('torch.')}, read and trained on {said}. "
        f"{' or '.join(f'{count:,}' for count in tests)} test rows; means ± standard deviations over "
        f"draws of the labels ({draws})."
    )
