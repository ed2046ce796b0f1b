"""How pictures look: a colour, a dash and a mark for each approach; SVG that follows the page.

Knows matplotlib and the names of approaches; knows nothing of results. A figure is drawn once, in
the light colours; in its SVG each colour becomes a CSS variable that the page sets for light and
dark, so that one picture serves both.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from promptpredict.results import base_of, model_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# name: (light, dark). Blues and greens are approaches with a language model, reds and browns those
# without: a pair that every common colour blindness keeps apart. No two are equal, since a
# picture's colours are told by their value.
COLOURS: dict[str, tuple[str, str]] = {
    "ink": ("#1b1f24", "#eceae5"),
    "muted": ("#59616b", "#a9aeb6"),
    "grid": ("#e2e3e0", "#34383e"),
    "paper": ("#fdfcfa", "#16181b"),
    "stack": ("#24292f", "#f4f2ee"),
    "blue": ("#0b5fae", "#6fb3ff"),
    "teal": ("#0a8270", "#3fcdb4"),
    "sky": ("#2f8fc6", "#8cd3fb"),
    "indigo": ("#5550c4", "#aaa5ff"),
    "leaf": ("#56851b", "#a5d65b"),
    "vermillion": ("#c4420a", "#ff8f5e"),
    "amber": ("#a96a00", "#f0b64c"),
    "brown": ("#855539", "#d2a281"),
    "rose": ("#b5477f", "#f294c3"),
    "olive": ("#7a7011", "#d0c255"),
    "grey": ("#757c84", "#9ba2aa"),
}

# matplotlib's marker: the same shape in a box of 10 by 10, for the legend of a page.
MARKERS = {
    "o": "M5 1.6a3.4 3.4 0 1 0 .01 0z",
    "s": "M2 2h6v6h-6z",
    "D": "M5 .8l4.2 4.2-4.2 4.2-4.2-4.2z",
    "^": "M5 1.2l4 7h-8z",
    "v": "M5 8.8l4-7h-8z",
    "P": "M3.6 1h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z",
}
WITH, WITHOUT, BOTH = (
    "With a language model (solid lines)",
    "Without one (dashed lines)",
    "Both, or either (dash-dotted lines)",
)
_DASHES: dict[str, tuple[float, ...]] = {WITH: (), WITHOUT: (4, 2), BOTH: (6, 2, 1, 2)}


@dataclass(frozen=True, slots=True)
class Style:
    """How an approach is drawn: a colour's name, a marker, and the side it is on."""

    colour: str
    marker: str
    side: str

    @property
    def dashes(self) -> tuple[float, ...]:
        """The dash pattern of its side; empty for a solid line."""
        return _DASHES[self.side]

    @property
    def hex(self) -> str:
        """The colour in light pictures."""
        return COLOURS[self.colour][0]


STYLES = {
    "chosen-with-lm": Style("blue", "o", WITH),
    "zero-shot": Style("teal", "^", WITH),
    "few-shot": Style("sky", "s", WITH),
    "few-shot-sets": Style("sky", "P", WITH),
    "few-shot-random": Style("sky", "v", WITH),
    "few-shot-nearest": Style("sky", "D", WITH),
    "probe": Style("indigo", "P", WITH),
    "probe-shots": Style("indigo", "v", WITH),
    "panel": Style("leaf", "D", WITH),
    "tuned": Style("leaf", "P", WITH),
    "chosen-without-lm": Style("vermillion", "s", WITHOUT),
    "embedding": Style("amber", "o", WITHOUT),
    "structured": Style("olive", "^", WITHOUT),
    "structured-trees": Style("olive", "D", WITHOUT),
    "text": Style("brown", "v", WITHOUT),
    "fusion": Style("rose", "P", WITHOUT),
    "fusion-mlp": Style("rose", "^", WITHOUT),
    "fusion-trees": Style("rose", "D", WITHOUT),
    "prior": Style("grey", "o", WITHOUT),
    "stack": Style("stack", "D", BOTH),
    "cascade": Style("stack", "^", BOTH),
    "chosen-single": Style("grey", "v", BOTH),
}
_UNKNOWN = Style("grey", "s", BOTH)
_models: ContextVar[tuple[str, ...]] = ContextVar("models", default=())


@contextmanager
def side_by_side(approaches: Iterable[str]) -> Iterator[None]:
    """Inside this, give ``probe @ one`` and ``probe @ two`` one colour, and each its own marker."""
    models = dict.fromkeys(filter(None, map(model_of, approaches)))
    token = _models.set(tuple(models))
    try:
        yield
    finally:
        _models.reset(token)


def style_of(approach: str) -> Style:
    """Return how an approach is drawn, the same in every picture."""
    style = STYLES.get(base_of(approach), _UNKNOWN)
    model, models = model_of(approach), _models.get()
    if model not in models:
        return style
    markers = list(MARKERS)
    place = markers.index(style.marker) + models.index(model)
    return replace(style, marker=markers[place % len(markers)])


def place_of(approach: str) -> tuple[int, str]:
    """Return what approaches are sorted by in legends: side by side, choices first."""
    known, base = list(STYLES), base_of(approach)
    return (known.index(base) if base in STYLES else len(known), approach)


def page(template: Path, filters: Mapping[str, Callable[..., Any]], **given: Any) -> str:
    """Return one of our pages as HTML, in the colours of both themes; all that is given is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    found = environment.from_string(template.read_text(encoding="utf-8"))
    colours = {"light": variables(dark=False), "dark": variables(dark=True)}
    return found.render(**colours, **given).strip() + "\n"


def variables(*, dark: bool) -> str:
    """Return the declarations of all colours for one theme, as CSS."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLOURS.items())


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside this: matplotlib's own defaults and ours, whatever the user's settings are."""
    import matplotlib

    ink, muted, grid, paper = (COLOURS[name][0] for name in ("ink", "muted", "grid", "paper"))
    ours: Any = {
        "figure.facecolor": paper,
        "axes.facecolor": "none",
        "savefig.facecolor": paper,
        "text.color": ink,
        "axes.edgecolor": muted,
        "axes.labelcolor": muted,
        "xtick.color": muted,
        "ytick.color": muted,
        "grid.color": grid,
        "grid.linewidth": 0.8,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "font.size": 11,
        "axes.labelsize": 11,
        "xtick.labelsize": 10.5,
        "ytick.labelsize": 10.5,
        "legend.frameon": False,
        "lines.solid_capstyle": "round",
        "text.parse_math": False,  # names are data: a $ is a $
        "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
        "svg.hashsalt": "promptpredict",  # the same figures make the same bytes
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ours)
        yield


def svg(figure: Figure, name: str, described: str) -> str:
    """Return a figure as an ``<svg>`` element whose colours are the page's.

    ``name`` is unique on its page and begins every id of the picture; ``described`` says in words
    what it shows.
    """
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    for colour, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{colour})")
    # By version and size, matplotlib writes the family alone or within the font.
    text = re.sub(r"(font: [^;\"]*?px|font-family:)[^;\"]*", r"\1 var(--font)", text)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    head = (
        f'<svg class="plot" role="img" aria-label="{escape(described)}" '
        f'viewBox="0 0 {width} {height}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    body = text[text.index(">") + 1 :]
    return head + re.sub(r"\s*\n\s*", "\n", body).strip()


def png(figure: Figure, title: str) -> bytes:
    """Return a figure as a PNG picture that stands alone: with its title, on paper."""
    figure.set_figheight(figure.get_figheight() + 0.35)  # the axes keep their height
    figure.suptitle(title, fontsize=12, x=0.015, ha="left")
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=160, metadata={"Software": None})
    return written.getvalue()


def add_legend(figure: Figure, approaches: dict[str, bool]) -> None:
    """Put a legend below a figure, making it taller; the value says whether drawn strongly."""
    from matplotlib.lines import Line2D

    handles = [line(Line2D, name, strong=strong) for name, strong in approaches.items()]
    columns = max(1, int(figure.get_figwidth() / 1.75))
    lines = -(-len(handles) // columns)
    figure.set_figheight(figure.get_figheight() + 0.26 * lines + 0.05)
    figure.legend(handles, list(approaches), loc="outside lower left", ncols=columns, fontsize=9.5)


def line(kind: Any, approach: str, *, strong: bool, xs: Any = (), ys: Any = ()) -> Any:
    """Make a line of an approach: ``kind`` is Line2D, or the ``plot`` of axes for its first line."""
    style = style_of(approach)
    made = kind(
        xs,
        ys,
        color=style.hex,
        marker=style.marker,
        linewidth=2.2 if strong else 1.2,
        markersize=6 if strong else 4,
        markeredgewidth=0,
        alpha=1.0 if strong else 0.4,
        zorder=3 if strong else 2,
    )
    made = made[0] if isinstance(made, list) else made
    if style.dashes:
        made.set_dashes(style.dashes)
    return made


def swatch(approach: str, *, strong: bool, joined: bool = True) -> str:
    """Return the sign of an approach for a page's legend, an ``<svg>`` without words.

    ``joined`` is False for pictures whose marks no line joins.
    """
    style = style_of(approach)
    dash = " ".join(f"{step * 1.6:g}" for step in style.dashes)
    opacity = "1" if strong else ".55"
    stroke = (
        f'<path d="M1 5h32" fill="none" stroke="var(--{style.colour})" '
        f'stroke-width="{2.2 if strong else 1.4}" stroke-dasharray="{dash or "none"}"/>'
    )
    return (
        f'<svg class="swatch" viewBox="0 0 34 10" aria-hidden="true" opacity="{opacity}">'
        f'{stroke if joined else ""}<path transform="translate(12 0)" d="{MARKERS[style.marker]}" '
        f'fill="var(--{style.colour})"/></svg>'
    )
