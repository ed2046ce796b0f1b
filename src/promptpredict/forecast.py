"""What `score` would read of a table, before it runs: tokens, what they share, time, memory.

Knows prompts and how they go through a language model; knows nothing of calibration or output.
The first rows of the table stand for all of it.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from promptpredict.batching import Fitted
from promptpredict.blockwise import shots_of
from promptpredict.checking import Given, ScoreOptions, check
from promptpredict.errors import DataError
from promptpredict.gate import ROWS as STOPPED
from promptpredict.ordering import check_order, in_order
from promptpredict.passes import BLOCK_ROWS
from promptpredict.plural import counted
from promptpredict.progress import duration
from promptpredict.records import Block, Reject, read_blocks, read_header
from promptpredict.rendered import Prompt
from promptpredict.scores import Labels
from promptpredict.scoring import Choosing, render_records
from promptpredict.sharing import NOTHING, Beginning
from promptpredict.showing import unused
from promptpredict.tables import table_name

if TYPE_CHECKING:
    from promptpredict.lm import CausalLM

TRIAL = 96  # prompts that are scored to know how long it takes, and what an order moves
_WARM = 8  # of them, before the clock runs
Say = Callable[[str], object]


@dataclass
class Forecast:
    """What is read of the rows that were looked at.

    ``whole`` are the tokens of all prompts, each by itself, and ``read`` those that go through the
    model; ``in_front`` stand in prefixes that are kept, of which there are ``prefixes``, and
    ``alike`` are saved behind them where customers or questions begin alike. ``same`` prompts are
    asked twice in a block. ``fields`` are the columns that prompts list, in order; ``seconds`` were
    spent on rendering.
    """

    rows: int = 0
    prompts: list[tuple[Prompt, Labels]] = field(default_factory=list)
    same: int = 0
    whole: int = 0
    read: int = 0
    in_front: int = 0
    alike: int = 0
    prefixes: int = 0
    kept: Beginning = NOTHING
    last: Beginning = NOTHING
    truncated: int = 0
    rejects: list[Reject] = field(default_factory=list)
    fields: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """What scoring some prompts took: tokens a second, and the probabilities (n,) of one label.

    ``mass`` is their median label mass.
    """

    rate: float
    prompts: int
    probabilities: npt.NDArray[np.float64]
    mass: float


def forecast_table(
    options: ScoreOptions, say: Say = lambda _: None, *, rows: int, reorder: bool = False
) -> str:
    """Return what scoring a table would read and take, as its first ``rows`` rows tell.

    ``reorder`` adds what columns with few values first would save, and how far they move scores.
    Raises PromptPredictError for whatever is wrong with the files or the model.
    """
    from promptpredict.adapters import check_loaded, find_model
    from promptpredict.encoders import Embedder
    from promptpredict.loading import load_language_model

    given = check(options)
    if reorder:
        check_order(given)
    for note in given.notes:
        say(note)
    source = find_model(options.model, options.adapter, given.card, say)
    embedder = Embedder(options.encoder, device=options.device)
    shots = shots_of(given, embedder)  # which may have a fault, before the model loads
    blocks = list(_first_blocks(given, rows))
    lm = load_language_model(source, dtype=options.dtype, device=options.device, say=say)
    check_loaded(source, given.card)
    found = forecast(lm, given, blocks, shots)
    trial = tried(lm, given, found)
    times = 1.0 if found.rows < rows else _times(options, found.rows)
    lines = [*_said(given, found, times), _confidence(trial, given.stop_mass)]
    lines.append(_cost(found, trial, times))
    lines.append(f"memory: {_peak(lm) / 1e9:.1f} GB at most while they were scored")
    if reorder:
        moved, order = in_order(given, blocks)
        other = forecast(lm, moved, order, shots_of(moved, embedder))
        both = (found, trial), (other, tried(lm, moved, other))
        lines += _compared(moved, *both, times)
    return "\n".join(lines)


# -- what is read ------------------------------------------------------------------------------


def _first_blocks(given: Given, rows: int) -> Iterator[Block]:
    limit = min(rows, given.options.limit or rows)
    return read_blocks(
        given.options.customers,
        given.prompt_file.roles,
        given.options.reading,
        block_rows=BLOCK_ROWS,
        limit=limit,
    )


def forecast(
    lm: CausalLM, given: Given, blocks: Sequence[Block], shots: Choosing | None
) -> Forecast:
    """Count the tokens of blocks as a run would read them.

    Raises DataError where none of their rows can be scored.
    """
    files = [given.prompt_file, *given.others]
    asked = [Labels(file.words, file.front.join) for file in files]
    found = Forecast()
    for block in blocks:
        faults: dict[int, str] = {}
        for each in shots.sets if shots else [None]:  # set by set, as they are read
            begun = time.perf_counter()
            rendered, unrendered = render_records(files, block.records, each)
            found.seconds += time.perf_counter() - begun
            prompts = [prompt for each in rendered.values() for prompt in each]
            labels = asked * len(rendered)
            fitted, unfit = lm.passes.fit(prompts, labels)
            unfit = {list(rendered)[at // len(files)]: why for at, why in unfit.items()}
            faults = unfit | unrendered | faults
            found.prompts += [(prompts[at], labels[at]) for at in fitted]
            _add(found, lm, fitted)
        found.rows += len(block.records) + len(block.rejects)
        found.rejects += block.rejects
        found.rejects += [
            Reject(block.records[at].row, block.records[at].id, faults[at]) for at in faults
        ]
        found.fields = found.fields or _fields(given, block)
    found.rejects.sort(key=lambda reject: reject.row)
    if not found.prompts:
        table = table_name(given.options.customers)
        first = found.rejects[0] if found.rejects else None
        why = f"; the first is row {first.row}: {first.reason}" if first else ""
        raise DataError(f"{table} has no row that can be scored{why}")
    return found


def _fields(given: Given, block: Block) -> list[str]:
    columns = block.records[0].values if block.records else ()
    apart = {given.prompt_file.front.id, *given.prompt_file.front.text}
    return [column for column in columns if column not in apart]


def _add(found: Forecast, lm: CausalLM, fitted: Mapping[int, Fitted]) -> None:
    """Add what the prompts of a block read and share."""
    encoded = [item.encoded for item in fitted.values()]
    found.same += len(encoded) - len({(each.ids, each.words) for each in encoded})
    found.truncated += sum(item.truncated for item in fitted.values())
    for bundle in lm.passes.bundles(fitted):
        found.read += bundle.tokens(found.kept)
        found.kept = bundle.base
        for group in bundle.groups:
            size = len(group.prefix)
            every = [fitted[row].encoded for row in group.rows]
            alone = sum(len(each.ids) + len(each.words.tree().tokens) for each in every)
            found.whole += alone
            found.prefixes += group.prefix.ids != found.last.ids
            found.last = group.prefix
            found.in_front += size * len(group.rows)
            found.alike += alone - size * len(group.rows) - group.own


def tried(lm: CausalLM, given: Given, found: Forecast) -> Trial:
    """Score some neighbours, as what they share makes the rate, behind a few to warm up."""
    start = max((len(found.prompts) - TRIAL) // 2, 0)
    some = found.prompts[start : start + TRIAL]
    prompts, labels = zip(*some, strict=True)
    lm.score(prompts[:_WARM], labels[:_WARM])
    begun = time.perf_counter()
    scores = lm.score(prompts, labels)
    rate = scores.tokens / (time.perf_counter() - begun)
    shares = np.exp(scores.logprobs - np.logaddexp.reduce(scores.logprobs, axis=1)[:, None])
    label = given.positive or given.labels[0]
    columns = [list(each.words).index(label) for each in labels]
    chosen = shares[np.arange(len(prompts)), columns]
    return Trial(rate, len(prompts), chosen, float(np.nanmedian(scores.mass)))


# -- what is said ------------------------------------------------------------------------------


def _said(given: Given, found: Forecast, times: float) -> Iterator[str]:
    """Yield how many prompts and tokens there are, and what they share."""
    options = given.options
    name = table_name(options.customers)
    rows = round(found.rows * times)
    looked = f"; the first {found.rows:,} stand for all" if times > 1 else ""
    yield f"{name}: {counted(rows, 'row')}{looked}"
    count = len(found.prompts)
    same = f", {found.same * times:,.0f} of them asked twice and read once" if found.same else ""
    yield f"prompts: {count * times:,.0f}{same}"
    yield (
        f"tokens: {found.read * times:,.0f} to read; "
        f"{found.whole * times:,.0f} if every prompt were read whole"
    )
    front, alike = (100 * part / found.whole for part in (found.in_front, found.alike))
    once = "a beginning that all share" if found.prefixes == 1 else "beginnings that many share"
    yield (
        f"shared: {front:.0f} % of those stand in {once} ({found.in_front / count:,.0f} tokens a "
        f"prompt), and {alike:.0f} % in what neighbours begin with behind that"
    )
    if found.truncated:
        yield f"cut to fit: {found.truncated * times:,.0f}, which lose shots or feedback"
    if found.rejects:
        first = found.rejects[0]
        yield (
            f"rejects: {len(found.rejects) * times:,.0f}; the first is row {first.row}: "
            f"{first.reason}"
        )
    header = read_header(options.customers, options.reading)
    shown = [set(unused(file, header)) for file in (given.prompt_file, *given.others)]
    yield from sorted(set.intersection(*shown))


def _confidence(trial: Trial, bound: float) -> str:
    low = f", under {bound:g}: that stops a run of {STOPPED} rows or more (--stop-mass)"
    low = low if trial.mass < bound else ""
    return f"label mass: {trial.mass:.2g} (the median of {trial.prompts} prompts){low}"


def _cost(found: Forecast, trial: Trial, times: float) -> str:
    return (
        f"time: about {duration(_seconds(found, trial) * times)} "
        f"({trial.rate:,.0f} tokens a second, measured on {trial.prompts} prompts)"
    )


def _compared(
    moved: Given, one: tuple[Forecast, Trial], other: tuple[Forecast, Trial], times: float
) -> Iterator[str]:
    """Yield what another order of columns reads, and how far it moves the scores."""
    from scipy.stats import spearmanr

    saved = one[0].read - other[0].read
    yield f"reordered, columns with few values first: {', '.join(other[0].fields)}"
    yield (
        f"  tokens: {other[0].read * times:,.0f} to read, {abs(saved) * times:,.0f} "
        f"{'fewer' if saved >= 0 else 'more'}; about {duration(_seconds(*other) * times)}"
    )
    gaps = np.abs(one[1].probabilities - other[1].probabilities)
    flat = min(np.ptp(each.probabilities) for _, each in (one, other)) == 0
    rank = (
        np.nan if flat else spearmanr(*(each.probabilities for _, each in (one, other))).statistic
    )
    label = moved.positive or moved.labels[0]
    yield (
        f"  scores of {len(gaps)} prompts: the probability of '{label}' moves by {np.median(gaps):.3f} "
        f"(median), {gaps.max():.3f} at most; rank correlation {rank:.3f}"
    )
    yield "  nothing is reordered by itself: give the table its columns in that order"


def _times(options: ScoreOptions, rows: int) -> float:
    """Return how many times the rows that were looked at stand in the table."""
    return max(options.count(options.customers, options.limit) / rows, 1.0)


def _seconds(found: Forecast, trial: Trial) -> float:
    return found.seconds + found.read / trial.rate


def _peak(lm: CausalLM) -> float:
    """Return the most memory that was held so far, in bytes: of the GPU, where there is one."""
    if lm.device.type == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated(lm.device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)
