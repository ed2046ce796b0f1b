"""The report's words and tables compared whole; the page as a browser shows it, where one is."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from browser import Browser, find
from promptpredict.errors import DataError
from promptpredict.pictures import NAMES, gallery
from promptpredict.report import _clauses, marked, render, write_report
from promptpredict.reporttables import (
    crossover_table,
    difference_table,
    figure_tables,
    labels_of,
    pairs_table,
)
from promptpredict.results import About, Crossover, Difference, Flag, Results, Row, Shown, Value
from promptpredict.runtables import mass_table, shots_table, truncation_table
from sample_results import sample_results


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    results, predictions = sample_results()
    return write_report(folder, results, predictions, positive="1")


def words(table):
    """Return the texts of a table's cells, what stands below behind a bar."""
    return [
        [cell.text + (f" | {cell.under}" if cell.under else "") for cell in row]
        for part in table.parts
        for row in part.rows
    ]


def row(approach, budget=4, seed=0, *, chosen=None, table="t.csv", **metrics):
    return Row(
        table=table,
        prompt="p.jinja",
        model="m",
        approach=approach,
        budget=budget,
        seed=seed,
        n_test=10,
        metrics={name: Value.of(*numbers) for name, numbers in metrics.items()},
        chosen=chosen,
    )


# -- tables ------------------------------------------------------------------------------------


def test_figures_are_means_with_intervals_the_choice_and_the_best():
    nan = float("nan")
    rows = [
        row("probe", seed=0, roc_auc=(0.8, 0.7, 0.9), brier=(0.2,), seconds_per_1000=(1234.5,)),
        row("probe", seed=1, roc_auc=(0.6, 0.5, 0.7), brier=(0.1,), seconds_per_1000=(1234.5,)),
        row("chosen-with-lm", seed=0, chosen="probe", roc_auc=(0.5, -0.1, 0.7), brier=(0.3,)),
        row("chosen-with-lm", seed=1, chosen="panel", roc_auc=(nan,), pr_auc=(nan,)),
        row("chosen-with-lm", seed=2, chosen="panel", roc_auc=(nan,)),
    ]
    quality, cost = figure_tables(rows)[4]
    assert quality.head == ["approach", "ROC AUC", "Brier"]
    assert words(quality) == [
        ["probe", "0.700 | 0.600–0.800", "0.150"],
        ["chosen-with-lm | panel × 2, probe", "0.500 | −0.100 to 0.700", "0.300"],
    ]
    assert [cell.kind for cell in quality.parts[0].rows[0]] == ["", "best", "best"]
    assert cost.head == ["approach", "seconds per 1,000"]
    assert words(cost) == [["probe", "1.23e+03"], ["chosen-with-lm | panel × 2, probe", "–"]]


def test_a_verdict_of_several_parts_is_a_list_of_what_to_use_and_its_figures():
    assert _clauses(
        "With no label use `zero-shot` (ROC AUC 0.9, above 0.5); with 4 labels use `probe`, 2 times cheaper (ROC AUC 0.8)."
    ) == [
        ("With no label use `zero-shot`", "ROC AUC 0.9, above 0.5"),
        ("With 4 labels use `probe`, 2 times cheaper", "ROC AUC 0.8"),
    ]
    assert _clauses("Nothing was compared.") == [("Nothing was compared", "")]


def test_a_verdict_on_several_models_names_each_in_its_parts():
    assert _clauses(
        "`a; b (c)`: With no label use `zero-shot` (ROC AUC 0.9, above 0.5); with 16 and 64 labels "
        "`stack`, which joins both sides, ranks higher (+0.045 to +0.089, at 16 labels).\n"
        "`tiny`: With 4 labels use `probe` (ROC AUC 0.8).\n"
        "`tiny` beside `a; b (c)`: With 4 and 16 labels `probe` ranks lower (-0.040 to -0.020, at 4 labels); "
        "with 16 labels `few-shot` ranks lower (-0.1).\n"
        "`other` beside `a; b (c)`: No approach ranks surely higher or lower.\n"
        "b.jinja was chosen by the labels of training rows, which no budget counts."
    ) == [
        ("`a; b (c)`: With no label use `zero-shot`", "ROC AUC 0.9, above 0.5"),
        (
            "`a; b (c)`: with 16 and 64 labels `stack`, which joins both sides, ranks higher",
            "+0.045 to +0.089, at 16 labels",
        ),
        ("`tiny`: With 4 labels use `probe`", "ROC AUC 0.8"),
        (
            "`tiny` beside `a; b (c)`: With 4 and 16 labels `probe` ranks lower",
            "-0.040 to -0.020, at 4 labels",
        ),
        ("`tiny` beside `a; b (c)`: with 16 labels `few-shot` ranks lower", "-0.1"),
        ("`other` beside `a; b (c)`: No approach ranks surely higher or lower", ""),
        ("b.jinja was chosen by the labels of training rows, which no budget counts", ""),
    ]


def test_differences_tell_the_verdict_and_both_intervals():
    one = Difference(
        approach="probe",
        against="embedding",
        budget=1,
        metric="roc_auc",
        value=0.12,
        low=-0.01,
        high=0.2,
        p=0.0004,
        holm_low=-0.02,
        holm_high=0.25,
        verdict="better",
    )
    rows = [
        row(name, 1, seed=seed, roc_auc=(value,))
        for name, values in (("probe", (0.9, 0.4)), ("embedding", (0.5, 0.5, 0.5)))
        for seed, value in enumerate(values)
    ]
    later = one.model_copy(update={"budget": 1000, "p": 0.25, "value": -0.0001})
    table = difference_table("All", [later, one], rows)
    assert [part.name for part in table.parts] == ["With 1 label", "With 1,000 labels"]
    assert words(table)[0] == [
        "probe | against embedding",
        "better",
        "+0.120 | ROC AUC",
        "1 of 2",
        "−0.010 to +0.200",
        "−0.020 to +0.250",
        "< 0.001",
    ]
    assert words(table)[1][2:4] == ["+0.000 | ROC AUC", "0 of 0"]
    assert words(table)[1][-1] == "0.250"
    assert table.parts[0].rows[0][1].kind == "better"


def test_crossovers_are_a_table_with_a_row_for_each_approach():
    pairs = [("probe", "text", 16), ("probe", "fusion", None), ("panel", "text", 0)]
    found = [Crossover(approach=a, against=b, budget=budget) for a, b, budget in pairs]
    table = crossover_table("From", found)
    assert table.head == ["as good as", "text", "fusion"]
    assert words(table) == [["probe", "16", "not shown"], ["panel", "0", ""]]
    assert crossover_table("From", []).parts == []


def test_a_figure_that_rounds_to_nothing_has_no_sign():
    quality, value = figure_tables(
        [row("probe", roc_auc=(0.8, -0.0001, 0.9), value_5=(-0.3, -2.0, 1.0))]
    )[4]
    assert words(quality) == [["probe", "0.800 | 0.000 to 0.900"]]
    assert words(value) == [["probe", "0 | −2 to 1"]]


def test_small_tables():
    assert labels_of(0) == "no labels"
    assert words(mass_table({"zero-shot": [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]})) == [
        ["zero-shot", "0.0000", "0.0500", "0.25", "0.50", "0.75", "0.95", "1.00"]
    ]
    assert words(truncation_table({"few-shot": 1200})) == [["few-shot", "1,200"]]
    shown = [Shown(approach="few-shot", budget=4, seed=2, shots=[(3, "1"), (9, "0")])]
    assert words(shots_table(shown)) == [["few-shot", "4", "2", "row 3 → 1, row 9 → 0"]]
    settings = {
        "max_test": None,
        "flag": True,
        "budgets": [0, 1000],
        "of": {"a": 1},
        "none": [],
        "x": 0.5,
    }
    assert words(pairs_table("Settings", settings)) == [
        ["max test", "–"],
        ["flag", "yes"],
        ["budgets", "0, 1,000"],
        ["of", "a: 1"],
        ["none", "–"],
        ["x", "0.5"],
    ]
    empty = [mass_table({}), truncation_table({}), shots_table([]), pairs_table("", {})]
    assert [table.parts for table in [*empty, difference_table("", [], [])]] == [[]] * 5


# -- the page ----------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects headings, ids, and whatever could load something."""

    def __init__(self, page):
        super().__init__()
        self.headings, self.ids, self.loads, self.figures, self.text = [], [], [], 0, ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.ids.append(given["id"])
        if tag in ("script", "link", "img", "iframe") or "src" in given:
            self.loads.append(tag)
        if not given.get("href", given.get("xlink:href", "#")).startswith("#"):
            self.loads.append(given)
        self.figures += tag == "figure"

    def handle_endtag(self, tag):
        self.text += "" if tag in ("b", "span", "code") else " "

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_loads_nothing(written):
    page = written.read_text(encoding="utf-8")
    found = Outline(page)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>shop_customers.csv – promptpredict benchmark</title>" in page
    assert found.loads == []
    assert len(set(found.ids)) == len(found.ids)
    assert found.headings[0] == 1
    assert all(
        after <= before + 1
        for before, after in zip(found.headings, found.headings[1:], strict=False)
    )
    assert found.figures == 9
    assert len(page) < 1_000_000
    assert page.index('class="verdict"') < page.index('class="flags"') < page.index("<figure")


def test_the_page_says_everything_once_a_reader_asks(written):
    text = re.sub(r"\s+", " ", Outline(written.read_text(encoding="utf-8")).text)
    for said in (
        "With 16 labels, use probe: its ROC AUC is 0.947",
        "duplicates: 14 of 300 test rows stand among the training rows",
        "Without a language model, from how many labels on as good as with one as good as "
        "chosen-with-lm zero-shot chosen-without-lm 256 structured not shown",
        "Language model smollm2-135m Sentence encoder minilm",
        "Ranking and probabilities with 16 labels",
        "Curves are the mean of the 3 seeds' own curves.",
        "With 16 labels, both together reach a ROC AUC of",
        "The customer feels",
        "few-shot 16 0 row 12 → 1, row 40 → 0, row 77 → 1",
        "zero-shot 0.0100 0.0800 0.21 0.35 0.48 0.66 0.81",
        "few-shot 12",
        "shop_customers.csv: 3 rows without a label were left out",
        "torch 2.13.0+cpu",
        "positives 181",
    ):
        assert said in text, said


def test_pictures_lie_beside_the_page(written):
    found = sorted(path.name for path in written.parent.rglob("*") if path.is_file())
    assert found == [
        "cost.png",
        "learning-brier.png",
        "learning-pr-auc.png",
        "learning-roc-auc.png",
        "lift.png",
        "precision-recall.png",
        "reliability.png",
        "report.html",
        "roc.png",
        "text-adds.png",
    ]


@pytest.mark.slow
def test_pictures_of_an_earlier_report_go_and_those_of_others_stay(tmp_path):
    results, predictions = sample_results()
    write_report(tmp_path, results, predictions, positive="1")
    (tmp_path / "pictures" / "mine.png").write_bytes(b"mine")
    bare = Results(rows=results.rows[:1], differences=[], verdict="")
    write_report(tmp_path, bare, pd.DataFrame(columns=predictions.columns), positive="1")
    found = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert "mine" in found
    assert found < {*NAMES, "mine"}


def test_what_people_wrote_is_data():
    nasty = "<script>alert(1)</script> & {{ 7 * 7 }} \"'"
    results = Results(
        rows=[row("probe", table=nasty, roc_auc=(0.8, 0.7, 0.9))],
        differences=[],
        verdict=nasty,
        crossovers=[Crossover(approach=nasty, against=nasty, budget=4)],
        flags=[Flag(kind="leak", column=nasty, text=nasty)],
        notes=[nasty],
        about=About(
            prompt_text=nasty,
            hardware=nasty,
            versions={nasty: nasty},
            settings={nasty: [nasty]},
            counts={nasty: 1},
            label_mass={nasty: [0.5] * 7},
            truncated={nasty: 1},
            shots=[Shown(approach=nasty, budget=4, seed=0, shots=[(1, nasty)])],
        ),
    )
    page = render(results, gallery(results, pd.DataFrame(), "1"), positive="1")
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; {{ 7 * 7 }} &#34;&#39;") == 18


def test_backticks_are_code_and_nothing_else_is():
    assert marked("use `probe` & <b> ` alone") == "use <code>probe</code> &amp; &lt;b&gt; ` alone"


def test_several_labels_have_a_page_without_curves_of_ranking(tmp_path):
    rows = [
        row(
            name,
            budget,
            roc_auc=(0.6 + budget / 100, 0.5, 0.8),
            brier=(0.4,),
            seconds_per_1000=(2.0,),
        )
        for name in ("probe", "embedding")
        for budget in (4, 16)
    ]
    results = Results(rows=rows, differences=[], verdict="")
    shown = gallery(results, pd.DataFrame(), None)
    assert [*shown.pictures] == ["learning-roc-auc", "learning-brier", "cost"]
    text = Outline(render(results, shown, positive=None)).text
    assert "this one has several labels of equal standing" in text
    assert "No approach was compared with another." in text
    assert "Each label against the rest" in text


def test_results_of_nothing_are_a_page_all_the_same(tmp_path):
    rows = [row("probe", roc_auc=(float("nan"),), brier=(float("nan"),))]
    for each in ([], rows):
        results = Results(rows=each, differences=[], verdict="")
        page = write_report(tmp_path, results, pd.DataFrame(), positive="1").read_text("utf-8")
        assert "There are no predictions of which curves could be drawn." in page
        assert "No language model took part, so there is no prompt to show." in page


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "pictures").write_text("")
    with pytest.raises(DataError) as told:
        write_report(
            tmp_path, Results(rows=[], differences=[], verdict=""), pd.DataFrame(), positive="1"
        )
    assert str(told.value) == f"{tmp_path}: the report cannot be written (File exists)"


# -- as a browser shows it ---------------------------------------------------------------------

# Every line of text and every box on the page, cut to what its scrolling parents show; which of
# them meet, leave the page or their picture, or are too pale to read.
LOOK = """(() => {
  const rgb = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const shine = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length == 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const cut = (r, e) => { let b = {l: r.left, t: r.top, r: r.right, b: r.bottom};
    for (let p = e; p; p = p.parentElement) if (getComputedStyle(p).overflowX != 'visible' && p.matches('.scroll')) {
      const q = p.getBoundingClientRect();
      b = {l: Math.max(b.l, q.left), r: Math.min(b.r, q.right), t: b.t, b: b.b}; }
    return b; };
  const things = [], pale = [], outside = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walk.nextNode();) {
    const e = node.parentElement, text = node.data.trim();
    if (!text || !e.checkVisibility({contentVisibilityAuto: true})) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const style = getComputedStyle(e), drawn = e.closest('svg.plot');
    const [a, b] = [shine(rgb(drawn ? style.fill : style.color)), shine(ground(e))];
    if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < (drawn ? 3 : 4.5)) pale.push(text);
    for (const r of range.getClientRects()) {
      const box = cut(r, e);
      if (box.r - box.l < 1) continue;
      things.push({what: text.slice(0, 40), e, text: true, ...box});
      const frame = drawn && drawn.getBoundingClientRect();
      if (box.r > innerWidth + 1 || box.l < -1 || frame && (r.left < frame.left - 2 ||
          r.right > frame.right + 2 || r.top < frame.top - 2 || r.bottom > frame.bottom + 2))
        outside.push(text);
    }
  }
  for (const e of document.querySelectorAll('svg, .scroll, pre, .flags, .facts, .legend, figcaption, h2')) {
    if (!e.checkVisibility()) continue;
    things.push({what: e.tagName, e, ...cut(e.getBoundingClientRect(), e)});
  }
  const meet = [];
  things.forEach((a, i) => things.slice(i + 1).forEach(b => {
    if (a.e != b.e && (a.e.contains(b.e) || b.e.contains(a.e))) return;
    if (a.e == b.e && !(a.text && b.text)) return;
    const x = Math.min(a.r, b.r) - Math.max(a.l, b.l), y = Math.min(a.b, b.b) - Math.max(a.t, b.t);
    if (x > 1.5 && y > 2.5) meet.push(a.what + ' / ' + b.what);
  }));
  const plots = [...document.querySelectorAll('svg.plot')].filter(e => e.checkVisibility()).length;
  return {plots, meet, outside, pale, texts: things.length,
    wide: document.documentElement.scrollWidth, inner: innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.querySelector('svg.plot text')).fill};
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = find()
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell")
    opened = Browser(chromium, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.parametrize("opened", ["as it comes", "all details open"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_sound_in_a_browser(browser, written, width, dark, opened):
    browser.open(written, width=width, dark=dark)
    if opened != "as it comes":
        browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    seen = browser.run(LOOK)
    assert browser.complaints() == []
    assert browser.requests() == [written.as_uri()]
    assert (seen["meet"], seen["outside"], seen["pale"]) == ([], [], [])
    assert seen["inner"] == width
    assert seen["wide"] <= width
    assert seen["texts"] > 300
    assert seen["plots"] == 9
    assert seen["paper"] == ("rgb(22, 24, 27)" if dark else "rgb(253, 252, 250)")
    assert seen["ink"] == ("rgb(169, 174, 182)" if dark else "rgb(89, 97, 107)")


@pytest.mark.parametrize(
    ("harm", "key"),
    [
        ("document.querySelector('.verdict').style.marginBottom = '-5rem'", "meet"),
        ("document.querySelector('svg.plot text').setAttribute('x', 9000)", "outside"),
        ("document.querySelector('.note').style.color = '#ddd'", "pale"),
    ],
)
def test_the_look_at_the_page_finds_what_is_wrong(browser, written, harm, key):
    browser.open(written, width=1280)
    browser.run(f"{harm}; 0")
    assert browser.run(LOOK)[key]


def test_a_page_that_scrolls_sideways_asks_or_fails_would_be_seen(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<meta name=viewport content='width=device-width'><div style='width:2000px'>x</div>"
        "<svg class=plot><text>x</text></svg><img src='other.png'><script>throw Error('bad')</script>"
    )
    browser.open(page, width=390)
    assert browser.run("document.documentElement.scrollWidth") > 2000
    assert len(browser.requests()) == 2
    assert any("Uncaught" in said for said in browser.complaints())


def test_print_is_light_and_shows_what_is_folded(browser, written):
    browser.open(written, width=794, dark=True, media="print")
    seen = browser.run(
        "[getComputedStyle(document.body).backgroundColor, "
        "[...document.querySelectorAll('details:not([open]) table')].map(e => e.checkVisibility())]"
    )
    assert seen[0] == "rgb(253, 252, 250)"
    assert seen[1]
    assert all(seen[1])
    assert browser.pdf().startswith(b"%PDF")
