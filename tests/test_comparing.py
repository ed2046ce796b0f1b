"""The walk of `benchmark`: a table and prompt files in, results and a report out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from compared import PROMPT, QUICK, customers, markers
from fakes import FakeEncoder, FakeLM
from promptpredict.comparing import BenchmarkOptions, benchmark_table
from promptpredict.errors import DataError, ModelError
from promptpredict.listing import table_text
from promptpredict.plans import APPROACHES, Plan
from promptpredict.prompt import PromptFile
from promptpredict.results import About, Difference, Results

PANEL = PROMPT[PROMPT.index("panel:") : PROMPT.index("---\n{%")]
WRITTEN = ["ledger.sqlite", "pictures", "predictions.parquet", "report.html", "results.json"]


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """A labelled table, of which one row has no label, and two prompt files."""
    monkeypatch.chdir(tmp_path)
    rows = [record.values | {"outcome": record.label} for record in customers()]
    frame = pd.DataFrame([*rows, rows[0] | {"id": "c81", "outcome": None}])
    frame["household"] = [f"h{row // 4}" for row in range(81)]
    frame["seen"] = [f"2024-{1 + row // 28:02}-{1 + row % 28:02}" for row in range(81)]
    frame.to_csv("customers.csv", index=False)
    # what splits the rows is shown to nobody
    text = PROMPT.replace("text: [feedback]", "text: [feedback]\nignore: [household, seen]")
    Path("p.jinja").write_text(text, encoding="utf-8")
    swapped = text.replace("[glad]", "[x]").replace("[angry]", "[glad]").replace("[x]", "[angry]")
    Path("back.jinja").write_text(swapped, encoding="utf-8")
    return tmp_path


class Loaded(FakeLM):
    """A stand-in with what the walk asks of a loaded model.

    It cannot score ``[not NAME]``, nor ``[not NAME behind WORD]`` where a shot has the word.
    """

    model = SimpleNamespace(dtype="float32")

    def __init__(self, name):
        super().__init__()
        self.name = name

    def score(self, prompts, labels, *, progress=None):
        scores = super().score(prompts, labels, progress=progress)
        for index, prompt in enumerate(prompts):
            behind = re.search(rf"\[not {self.name} behind (\w+)\]", prompt.user)
            shown = behind and any(behind[1] in shot.user.split() for shot in prompt.shots)
            if f"[not {self.name}]" in prompt.user or shown:
                scores.faults[index] = f"{self.name} cannot score it"
                scores.logprobs[index] = float("nan")
        return scores

    def count(self, prompts, labels):
        return sum(len(prompt.user.split()) for prompt in prompts)


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """The language models that were loaded, by name; stand-ins all of them."""
    found = {}

    def load(source, **_):
        found[source.name] = Loaded(source.name)
        return found[source.name]

    def find(name, kind="language model"):
        return SimpleNamespace(name=name, path=name, fingerprint=f"{name}@1", adapter=None)

    monkeypatch.setattr("promptpredict.models.find", find)
    monkeypatch.setattr("promptpredict.loading.load_language_model", load)
    monkeypatch.setattr("promptpredict.encoders._load", lambda *_: FakeEncoder())
    return found


@pytest.fixture
def quick(monkeypatch):
    """No pictures: they are tested where they are drawn."""
    monkeypatch.setattr(
        "promptpredict.report.write_report", lambda folder, *_, **__: folder / "report.html"
    )


def compare(say=lambda _: None, *, prompts=("p.jinja",), out="results", **given):
    plan = {"approaches": QUICK, "budgets": (0, 16), "seeds": 1, "max_test": 40, "memory_rows": 0}
    options = {
        name: given.pop(name)
        for name in (
            "models",
            "group",
            "time",
            "keep_prompts",
            "attacks",
            "dry_run",
            "encoder",
            "redact",
        )
        if name in given
    }
    return benchmark_table(
        BenchmarkOptions(
            labelled="customers.csv",
            prompts=prompts,
            out=Path(out),
            plan=Plan(**(plan | given)),
            **({"models": ("tiny",)} | options),
        ),
        say,
    )


def results(out="results"):
    return Results.load(Path(out) / "results.json")


# -- what is written ---------------------------------------------------------------------------


def test_a_table_and_a_prompt_file_become_results_in_a_folder(loaded):
    said = []
    text = compare(said.append)
    written = sorted(each.name for each in Path("results").iterdir())
    assert [name for name in written if not name.startswith("ledger.sqlite-")] == WRITTEN
    found = results()
    assert text == table_text(found)
    assert list(loaded) == ["tiny"]
    passes = len(loaded["tiny"].asked)
    assert said[0] == "customers.csv: rows left out: 1 without a label"
    assert said[1] == f"tiny: {passes:,} distinct prompts to read"
    assert said[2].startswith("zero-shot, 0 labels, seed 0: ROC AUC 0.")
    assert len(said) == 2 + len(found.rows) + len(found.notes) + len(found.flags) + 1
    assert said[-1] == "report: results/report.html"
    assert [(row.approach, row.budget) for row in found.rows] == [
        ("zero-shot", 0),
        *((name, 16) for name in (*QUICK, "chosen-with-lm", "chosen-without-lm", "chosen-single")),
    ]
    assert {row.table for row in found.rows} == {"customers.csv"}
    records = customers()
    predictions = pd.read_parquet("results/predictions.parquet")
    for row, id, label in zip(*(predictions[name] for name in ("row", "id", "label")), strict=True):
        assert (id, label) == (records[row - 1].id, records[row - 1].label)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_leak_is_said_before_a_model_is_loaded_and_once(loaded, dry_run):
    table = pd.read_csv("customers.csv", dtype=str)
    table["closed"] = table["outcome"].map({"leaves": "2024-05-01"})
    table.to_csv("customers.csv", index=False)
    said = []
    compare(
        lambda line: said.append((line, list(loaded))), approaches=("zero-shot",), dry_run=dry_run
    )
    [(text, models)] = [each for each in said if each[0].startswith("warning: ")]
    assert "'closed'" in text
    assert models == []
    if not dry_run:
        assert [flag.text for flag in results().flags] == [text.removeprefix("warning: ")]


def test_results_say_what_they_depend_on(loaded, quick):
    compare(approaches=("zero-shot", "few-shot"), base_rate=0.3)
    about = results().about
    passes = len(loaded["tiny"].asked)
    assert (about.prompts, about.passes) == (passes, passes)
    assert about.tokens == sum(len(prompt.user.split()) for prompt in loaded["tiny"].asked)
    assert about.counts == {
        "rows": 80, "folds": 1, "training rows": 40, "test rows": 40, "positive rows": 32,
    }  # fmt: skip
    settings = about.settings
    assert settings["models"] == ["tiny@1 float32"]
    assert settings["prompts"] == ["p.jinja"]
    assert settings["wording"] == PromptFile.load("p.jinja").fingerprint
    assert (settings["encoder"], settings["group"], settings["time"]) == ("minilm", None, None)
    assert [settings[name] for name in ("redact", "salted", "events", "as_of")] == [
        *(False, False, None, None)
    ]
    assert (settings["budgets"], settings["seeds"], settings["base_rate"]) == ([0, 16], 1, 0.3)
    assert settings["approaches"] == ["zero-shot", "few-shot"]
    assert set(about.label_mass) == {"zero-shot", "few-shot"}
    assert [(each.approach, len(each.shots)) for each in about.shots] == [("few-shot", 16)]
    assert about.seconds > 0
    assert about.started[:2] == "20"
    assert about.versions["python"]


def test_results_have_the_documented_fields_and_no_others(quick):
    compare()
    found = json.loads(Path("results/results.json").read_text(encoding="utf-8"))
    assert list(found) == [
        "schema", "rows", "differences", "verdict", "crossovers", "flags", "notes", "about",
    ]  # fmt: skip
    assert found["schema"] == 1
    fields = [
        "table",
        "prompt",
        "model",
        "approach",
        "budget",
        "seed",
        "n_test",
        "metrics",
        "chosen",
    ]
    assert {tuple(row) for row in found["rows"]} == {tuple(fields)}
    assert {tuple(value) for row in found["rows"] for value in row["metrics"].values()} == {
        ("value", "low", "high")
    }
    assert {tuple(each) for each in found["differences"]} == {tuple(Difference.model_fields)}
    assert {tuple(each) for each in found["crossovers"]} == {("approach", "against", "budget")}
    assert list(found["about"]) == list(About.model_fields)
    # None or a number, never a NaN, which JSON does not have
    assert "NaN" not in Path("results/results.json").read_text(encoding="utf-8")


def test_no_file_holds_what_a_customer_wrote(loaded):
    """The word stands in every feedback, so every prompt and every shot shows it."""
    frame = pd.read_csv("customers.csv")
    frame["feedback"] = frame["feedback"].fillna("") + " zebrafinch"
    frame.to_csv("customers.csv", index=False)
    compare(approaches=(*QUICK, "panel", "text"), models=("tiny", "other"), memory_rows=100)
    assert all("zebrafinch" in prompt.user for prompt in loaded["tiny"].asked if prompt.shots)
    written = [each for each in Path("results").rglob("*") if each.is_file()]
    assert {"ledger.sqlite", "results.json", "report.html", "predictions.parquet"} <= {
        each.name for each in written
    }
    for each in written:
        content = each.read_bytes().lower()
        assert b"zebrafinch" not in content, each
        assert b"marker" not in content or each.suffix in (".html", ".png"), each
    predictions = pd.read_parquet("results/predictions.parquet")
    assert list(predictions.columns) == [
        "approach", "budget", "seed", "fold", "row", "id", "label", "p_stays", "p_leaves",
    ]  # fmt: skip
    assert "‹feedback›" in results().about.prompt_text


def test_a_customers_own_prompt_is_shown_only_where_it_is_asked_for(quick):
    compare(approaches=("zero-shot",), keep_prompts=True)
    text = results().about.prompt_text
    [row] = markers(text)
    predictions = pd.read_parquet("results/predictions.parquet")
    assert row not in set(predictions["row"])  # it is a training row
    assert "And now?" in text


def test_a_second_run_reads_only_what_is_new(loaded, quick):
    compare(approaches=("zero-shot", "probe"))
    first = results()
    said = []
    compare(said.append, approaches=("zero-shot", "probe"))
    passes = first.about.passes
    assert (
        f"tiny: {passes} distinct prompts to read, of which {passes} have been read before" in said
    )
    assert loaded["tiny"].asked == []
    assert [row.metrics["roc_auc"] for row in results().rows] == [
        row.metrics["roc_auc"] for row in first.rows
    ]
    compare(said.append, approaches=("zero-shot", "panel"))
    assert loaded["tiny"].asked
    assert not any("And now?" in p.user and p.answer == "It was" for p in loaded["tiny"].asked)


def test_no_language_model_is_loaded_where_none_is_needed(loaded, quick):
    said = []
    compare(said.append, approaches=("embedding", "prior"))
    assert loaded == {}
    assert not any("distinct prompts" in each for each in said)
    assert not Path("results/ledger.sqlite").exists()
    assert results().about.prompts == 0


ASKED = {"approaches": ("zero-shot", "few-shot")}


def test_a_dry_run_counts_what_a_run_then_reads(loaded):
    said = []
    text = compare(said.append, dry_run=True, **ASKED)
    assert loaded["tiny"].asked == []
    assert said == ["customers.csv: rows left out: 1 without a label"]
    assert not Path("results").exists()
    compare(**ASKED)
    about = results().about
    assert text == (
        f"p.jinja, tiny: {about.passes:,} distinct prompts; {about.tokens:,} tokens to read"
    )
    assert about.passes == about.prompts == len(loaded["tiny"].asked)
    # a run that went on would read the rest
    again = compare(dry_run=True, **ASKED)
    assert again == (
        f"p.jinja, tiny: {about.passes} distinct prompts, {about.passes} of them read before; "
        "0 tokens to read"
    )
    more = compare(dry_run=True, approaches=("zero-shot", "few-shot", "panel"))
    assert f", {about.passes} of them read before; " in more
    assert not more.endswith("; 0 tokens to read")


@pytest.mark.parametrize(("seeds", "said"), [(1, "1 adapter"), (3, "3 adapters")])
def test_a_dry_run_counts_adapters(loaded, seeds, said):
    text = compare(dry_run=True, approaches=("tuned",), budgets=(16,), seeds=seeds)
    assert text.endswith(f" tokens to read, and {said} to train")
    assert loaded["tiny"].asked == []


def test_a_dry_run_where_no_approach_reads(loaded):
    assert compare(dry_run=True, approaches=("prior",)) == "no approach needs a language model"
    assert loaded == {}


@pytest.mark.slow
def test_a_dry_run_of_several_prompt_files_and_models_reads_nothing_and_lists_each(loaded):
    """To choose a prompt file, training rows would have to be read."""
    text = Path("p.jinja").read_text(encoding="utf-8").replace("And now?", "And so, now?")
    Path("long.jinja").write_text(text, encoding="utf-8")
    given = {"prompts": ("p.jinja", "long.jinja"), "models": ("tiny", "other")}
    lines = compare(dry_run=True, **given, **ASKED).splitlines()
    assert [lm.asked for lm in loaded.values()] == [[], []]
    assert not Path("results").exists()
    expected = []
    for prompt in given["prompts"]:
        for model in given["models"]:
            compare(prompts=(prompt,), models=(model,), out=f"{prompt}-{model}", **ASKED)
            about = results(f"{prompt}-{model}").about
            expected.append(
                f"{prompt}, {model}: {about.passes:,} distinct prompts; {about.tokens:,} tokens to read"
            )
    one = "the best on some training rows is read whole, and the others on those rows alone"
    assert lines == [*expected, one]
    assert lines[0] != lines[2].replace("long.jinja", "p.jinja")


def test_a_dry_run_writes_nothing_into_a_folder_that_is_there(loaded):
    Path("results").mkdir()
    compare(dry_run=True, **ASKED)
    assert list(Path("results").iterdir()) == []


# -- several prompt files, several models ------------------------------------------------------


def test_of_several_prompt_files_the_best_on_training_rows_is_tested(loaded, quick):
    said = []
    compare(said.append, prompts=("back.jinja", "p.jinja"), approaches=("zero-shot", "prior"))
    found = results()
    assert {row.prompt for row in found.rows} == {"p.jinja"}
    assert found.notes[0].startswith("of 2 prompt files p.jinja ranks 40 training rows best ")
    assert found.notes[1].startswith("back.jinja: -")
    assert found.notes[1].endswith(", corrected for 1): worse")
    assert [said.count(note) for note in found.notes] == [1] * len(found.notes)
    assert found.about.settings["prompts"] == ["back.jinja", "p.jinja"]
    assert found.rows[0].metrics["roc_auc"].value > 0.7


@pytest.mark.parametrize(
    "given",
    [{}, {"time": "seen"}, {"group": "household"}, {"time": "seen", "group": "household"}],
    ids=["plain", "time", "group", "time and group"],
)
def test_a_prompt_file_is_never_chosen_on_a_row_that_tests(loaded, quick, given):
    """Nor on one whose household tests: the choice would have seen what it is judged by."""
    text = Path("back.jinja").read_text(encoding="utf-8").replace("And now?", "What now?")
    Path("back.jinja").write_text(text, encoding="utf-8")
    compare(prompts=("back.jinja", "p.jinja"), approaches=("zero-shot",), **given)
    assert {row.prompt for row in results().rows} == {"p.jinja"}
    asked = [prompt.user for prompt in loaded["tiny"].asked]
    chosen_on = {row for user in asked if "What now?" in user for row in markers(user)}
    assert len(chosen_on) == results().about.counts["training rows"]
    tested = set(pd.read_parquet("results/predictions.parquet")["row"])
    assert not chosen_on & tested
    if "group" in given:
        homes = pd.read_csv("customers.csv")["household"]
        assert not {homes[row - 1] for row in chosen_on} & {homes[row - 1] for row in tested}


def test_prompt_files_are_compared_on_rows_that_all_of_them_can_show(quick):
    """One file cannot show a row: no other is tested on it, or they would have other rows."""
    text = Path("back.jinja").read_text(encoding="utf-8")
    text = text.replace(
        "{% endblock %}\n{% block question",
        "{{ 1 // (customer.price - 20.5) }}\n{% endblock %}\n{% block question",
    )
    frame = pd.read_csv("customers.csv")
    frame.loc[6, "price"] = 20.5
    frame.to_csv("customers.csv", index=False)
    Path("back.jinja").write_text(text, encoding="utf-8")
    said = []
    compare(said.append, prompts=("p.jinja", "back.jinja"), approaches=("zero-shot",))
    assert said[1].startswith(
        "customers.csv: rows left out: 1 without a label, 1 unusable (the first"
    )
    assert results().about.counts["rows"] == 79


def test_several_models_stand_side_by_side(loaded, quick):
    said = []
    compare(said.append, models=("tiny", "other"))
    assert list(loaded) == ["tiny", "other"]
    found = results()
    names = [row.approach for row in found.rows if row.budget == 16]
    assert {"probe @ tiny", "probe @ other", "embedding"} <= set(names)
    assert len(names) == len(set(names))
    assert {row.model for row in found.rows if row.approach.endswith(" @ other")} >= {"other"}
    between = [each for each in found.differences if each.against == "probe @ tiny"]
    assert [(each.approach, each.value) for each in between] == [("probe @ other", 0.0)]
    count = len(loaded["tiny"].asked)
    for name in ("tiny", "other"):
        assert f"{name}: {count} distinct prompts to read" in said
    assert (found.about.prompts, found.about.passes) == (2 * count, 2 * count)
    assert found.about.settings["models"] == ["tiny@1 float32", "other@1 float32"]


@pytest.mark.slow
def test_models_that_cannot_score_other_rows_stand_on_the_same(loaded, quick):
    """Rows are left out for a model, too, because another cannot score them."""
    given = {"models": ("tiny", "other"), "budgets": (0, 16, "all"), "seeds": 2}
    compare(**given, out="before")
    before = pd.read_parquet("before/predictions.parquet")
    tested = sorted(set(before["row"]))
    trained = sorted(set(range(1, 81)) - set(tested))
    out = {"tiny": [tested[3], trained[5]], "other": [tested[30], trained[20], trained[21]]}
    frame = pd.read_csv("customers.csv")
    for model, rows in out.items():
        frame.loc[[row - 1 for row in rows], "feedback"] += f" [not {model}]"
    frame.to_csv("customers.csv", index=False)
    said = []
    compare(said.append, **given)
    rows = [row for row in tested if row not in (tested[3], tested[30])]
    predictions = pd.read_parquet("results/predictions.parquet")
    cases = predictions.groupby(["approach", "budget", "seed"])
    assert {name for name, *_ in cases.groups} >= {"probe @ tiny", "probe @ other", "embedding"}
    assert all(case["row"].tolist() == rows for _, case in cases)
    found = results()
    assert {row.n_test for row in found.rows} == {38}
    first = min(row for each in out.values() for row in each)
    model = next(model for model, each in out.items() if first in each)
    assert [note for note in found.notes if "left out" in note] == [
        "rows left out for every approach: 5 that could not be scored (the first is row "
        f"{first}: {model} cannot score it)"
    ]
    gone = {row for each in out.values() for row in each}
    shown = {row for each in found.about.shots for row, _ in each.shots}
    assert not shown & gone
    # nothing else differs between the two, who read the same words
    between = [
        (each.approach, each.budget, each.value)
        for each in found.differences
        if each.against == "probe @ tiny"
    ]
    assert between == [("probe @ other", 16, 0.0), ("probe @ other", 40, 0.0)]


def mark(row, text):
    frame = pd.read_csv("customers.csv")
    frame.loc[row - 1, "feedback"] += f" {text}"
    frame.to_csv("customers.csv", index=False)


def test_a_row_that_the_first_model_cannot_score_behind_other_shots_is_left_out(loaded, quick):
    """Another shot stands in for one that the second model cannot score; the first reads it, too."""
    given = {
        "models": ("tiny", "other"), "approaches": ("zero-shot", "few-shot"), "shots": 4, "budgets": (16,)
    }  # fmt: skip

    def shots(out):
        compare(**given, out=out)
        return [row for row, _ in results(out).about.shots[0].shots]

    before = shots("one")
    mark(before[0], "[not other]")
    after = shots("two")
    [new] = set(after) - set(before)
    tested = sorted(set(pd.read_parquet("one/predictions.parquet")["row"]))
    mark(tested[7], f"[not tiny behind marker{new}]")
    assert shots("three") == after
    cases = pd.read_parquet("three/predictions.parquet").groupby("approach")["row"]
    expected = [row for row in tested if row != tested[7]]
    assert {name: list(rows) for name, rows in cases} == dict.fromkeys(
        [f"{name} @ {model}" for name in given["approaches"] for model in given["models"]], expected
    )
    reason = {before[0]: "other cannot score it", tested[7]: "tiny cannot score it"}
    first = min(reason)
    assert results("three").notes == [
        "rows left out for every approach: 2 that could not be scored (the first is row "
        f"{first}: {reason[first]})"
    ]


def test_columns_that_part_the_rows_arrive(quick):
    given = {"approaches": ("prior",), "budgets": (16,), "max_test": 20}
    frame = pd.read_csv("customers.csv")
    compare(time="seen", **given)
    tested = set(pd.read_parquet("results/predictions.parquet")["row"])
    assert tested == set(range(61, 81))
    compare(group="household", out="grouped", **given)
    tested = set(pd.read_parquet("grouped/predictions.parquet")["row"])
    inside = frame["household"].isin(frame.loc[[row - 1 for row in tested], "household"])
    assert {at + 1 for at in frame.index[inside] if at < 80} == tested
    compare(folds=4, out="folded", **given)
    assert results("folded").about.counts["folds"] == 4
    assert {row.n_test for row in results("folded").rows} == {80}


# -- faults, before a model is loaded ----------------------------------------------------------


def fault(kind=DataError, **given):
    with pytest.raises(kind) as error:
        compare(**given)
    return str(error.value)


def test_an_out_that_is_a_file_is_told_before_anything_is_read(loaded):
    Path("taken").write_text("mine", encoding="utf-8")
    Path("customers.csv").unlink()
    assert fault(out="taken") == "taken is a file; --out wants a folder"
    assert Path("taken").read_text(encoding="utf-8") == "mine"


def test_an_out_that_cannot_be_made_is_told_before_anything_is_scored(loaded):
    """A comparison takes hours: nobody wants to hear afterwards that it cannot be kept."""
    Path("taken").write_text("mine", encoding="utf-8")
    assert fault(out="taken/results").startswith("taken/results cannot be made: ")
    assert loaded == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"approaches": ("probe", "xyz")},
            f"there is no approach 'xyz'; possible: {', '.join(APPROACHES)}",
        ),
        ({"value_saved": 10.0}, "captured value needs --offer-cost too"),
        (
            {"value_saved": float("inf"), "offer_cost": 1.0},
            "--value-saved is inf; possible: 0 to 1,000,000,000,000",
        ),
        (
            {"value_saved": 1.0, "offer_cost": float("nan")},
            "--offer-cost is nan; possible: 0 to 1,000,000,000,000",
        ),
        ({"approaches": ()}, f"no approach is given; possible: {', '.join(APPROACHES)}"),
    ],
)
def test_a_plan_that_cannot_be_is_told_before_a_model_is_loaded(loaded, given, text):
    Path("customers.csv").unlink()
    assert fault(**given) == text
    assert loaded == {}


@pytest.mark.parametrize("out", ["x" * 300, "/proc/results"], ids=["a long name", "no such place"])
def test_an_out_that_no_folder_can_be_is_one_line(loaded, out):
    assert re.fullmatch(rf"{out} cannot be (written \(.+\)|made: .+)", fault(out=out))


def test_a_table_that_cannot_be_split_is_told_before_a_model_is_loaded(loaded):
    frame = pd.read_csv("customers.csv")
    frame[frame["outcome"] == "stays"].to_csv("customers.csv", index=False)
    assert fault() == (
        "every row has the label 'stays'; a comparison needs rows of two labels or more"
    )
    assert loaded == {}


def test_regression_is_told_before_a_model_is_loaded(loaded):
    text = PROMPT.replace("task: binary", "task: regression").replace(PANEL, "")
    text = text.replace(
        "labels: {stays: [glad], leaves: [angry]}\npositive: leaves",
        "bins: {words: [low, high], edges: [0, 1, 2]}",
    )
    Path("regression.jinja").write_text(text, encoding="utf-8")
    assert fault(prompts=("p.jinja", "regression.jinja")) == (
        "several prompt files cannot be compared with task: regression; possible: one prompt file"
    )
    assert loaded == {}


def test_a_label_that_the_prompt_file_does_not_know_names_table_and_row(loaded):
    frame = pd.read_csv("customers.csv")
    frame.loc[81] = frame.loc[0]
    frame.loc[81, ["id", "outcome"]] = ["c82", "stay"]
    frame.to_csv("customers.csv", index=False)
    assert fault() == (
        "customers.csv, row 82: column 'outcome' holds 'stay' (nearest: 'stays'); the labels of "
        "p.jinja are 'stays', 'leaves'"
    )
    assert loaded == {}


def test_prompt_files_of_other_labels_are_told_before_a_model_is_loaded(loaded):
    text = Path("p.jinja").read_text(encoding="utf-8").replace("target: outcome", "target: plan")
    text = text.replace("{stays: [glad], leaves: [angry]}", "{basic: [glad], full: [angry]}")
    Path("plan.jinja").write_text(text.replace("positive: leaves", "positive: full"), "utf-8")
    assert fault(prompts=("p.jinja", "plan.jinja")) == (
        "p.jinja and plan.jinja read other labels from the table; prompt files that are compared "
        "need the same target and labels"
    )
    assert loaded == {}


def test_prompt_files_of_other_ids_are_told_where_ids_repeat(loaded):
    """One would be chosen on rows that the other tests."""
    text = Path("back.jinja").read_text(encoding="utf-8")
    text = text.replace("id: id", "id: household").replace("[household, seen]", "[seen]")
    Path("back.jinja").write_text(text, encoding="utf-8")
    assert fault(prompts=("p.jinja", "back.jinja")) == (
        "p.jinja and back.jinja name other ids, by which rows of one customer are kept together; "
        "possible: the same id, --group"
    )
    assert not loaded


def test_prompt_files_with_a_label_more_are_told_too(loaded):
    text = Path("p.jinja").read_text(encoding="utf-8").replace("task: binary", "task: multiclass")
    text = text.replace(
        "{stays: [glad], leaves: [angry]}", "{stays: [glad], leaves: [angry], x: [y]}"
    )
    Path("more.jinja").write_text(text.replace("positive: leaves\n", ""), "utf-8")
    assert fault(prompts=("p.jinja", "more.jinja")) == (
        "p.jinja and more.jinja read other labels from the table; prompt files that are compared "
        "need the same target and labels"
    )
    assert loaded == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"group": "nosuch"},
            "customers.csv has no column 'nosuch'; it has id, plan, price, feedback, outcome, "
            "household, seen",
        ),
        (
            {"time": "sen"},
            "customers.csv has no column 'sen' (nearest: 'seen')",
        ),
        (
            {"time": "plan"},
            "row 1: the time 'basic' does not read as a date, or not as the others do; possible: "
            "numbers, or dates as 2024-12-31",
        ),
        (
            {"folds": 33},
            "33 folds cannot be made: the label 'leaves' has 32 rows; possible: 2 to 32 folds",
        ),
        (
            {"folds": 5, "group": "plan"},
            "5 folds cannot be made: there are 2 groups; possible: 2 to 2 folds",
        ),
        (
            {"folds": 3, "time": "seen"},
            "folds and times exclude each other: a fold would train on rows newer than those it "
            "tests; possible: one of the two",
        ),
        (
            {"folds": 3, "prompts": ("p.jinja", "back.jinja")},
            "several prompt files cannot be compared with --folds: every row tests, and none is "
            "left to choose on; possible: without --folds, or one prompt file",
        ),
        (
            {"models": ("tiny", "other", "tiny")},
            "two models are called 'tiny'; possible: models of different names",
        ),
        (
            {"budgets_of": {"prob": (4,)}},
            "there is no approach 'prob' (nearest: 'probe'); possible: " + ", ".join(APPROACHES),
        ),
        (
            {"approaches": ("probe", "text"), "budgets": (0, 1)},
            "nothing is left to compare: budget 1 is left out: there are 2 labels, and each needs a "
            "row; probe is left out: no budget suits it; text is left out: no budget suits it",
        ),
    ],
    ids=[
        "no group column", "no time column", "no times", "too many folds", "few groups",
        "folds and times", "folds and prompt files", "one name", "budgets of nobody", "nothing",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dry_run", [False, True], ids=["run", "dry run"])
def test_what_cannot_be_compared_so_is_told_before_a_model_is_loaded(loaded, given, text, dry_run):
    assert fault(dry_run=dry_run, **given) == text
    assert loaded == {}
    assert not Path("results").exists()


def test_several_prompt_files_need_a_language_model(loaded):
    assert fault(prompts=("p.jinja", "back.jinja"), approaches=("prior",)) == (
        "several prompt files can only be compared with a language model"
    )


@pytest.mark.parametrize("kind", ["language model", "sentence encoder"])
def test_a_model_that_is_not_there_is_told_before_another_is_loaded(loaded, monkeypatch, kind):
    def find(name, asked="language model"):
        if asked == kind and name != "tiny":
            raise ModelError(f"there is no {kind} '{name}'")
        return SimpleNamespace(name=name, path=name, fingerprint=name, adapter=None)

    monkeypatch.setattr("promptpredict.models.find", find)
    name = "absent" if kind == "language model" else "minilm"
    assert fault(ModelError, models=("tiny", "absent")) == f"there is no {kind} '{name}'"
    assert loaded == {}
    assert not Path("results").exists()


def test_the_automatic_choice_of_a_model_says_its_reason(loaded, quick, monkeypatch):
    source = SimpleNamespace(name="smollm2-135m", path="x", fingerprint="1", adapter=None)
    monkeypatch.setattr("promptpredict.models.choose", lambda: (source, "no GPU"))
    said = []
    compare(said.append, models=("auto",), approaches=("zero-shot",), budgets=(0,))
    assert "model: smollm2-135m (no GPU)" in said
    assert list(loaded) == ["smollm2-135m"]


def test_a_model_that_the_run_fetches_is_known_by_its_files(loaded, quick, monkeypatch):
    """Or the next run, which finds it on the machine, would read everything again."""

    def find(name, kind="language model"):
        here = name in loaded or name != "some/model"
        return SimpleNamespace(
            name=name,
            path=name if here else None,
            fingerprint="files@1" if here else name,
            adapter=None,
        )

    monkeypatch.setattr("promptpredict.models.find", find)
    for _ in range(2):
        compare(models=("some/model",), approaches=("zero-shot",), budgets=(0,))
        [identity] = results().about.settings["models"]
        assert identity.startswith("files@1 ")
        passes = results().about.passes
    assert passes == 0


def test_a_warning_of_a_prompt_file_is_said(quick):
    text = Path("p.jinja").read_text(encoding="utf-8").replace("[feedback]", "[feedback, mail]")
    frame = pd.read_csv("customers.csv")
    frame.assign(mail="so").to_csv("customers.csv", index=False)
    Path("p.jinja").write_text(text, encoding="utf-8")
    said = []
    compare(said.append, approaches=("prior",), budgets=(16,))
    assert said[0] == "warning: p.jinja: no block shows the text column 'mail'"


# -- hostile texts -----------------------------------------------------------------------------


@pytest.mark.slow
def test_attacks_are_tried_on_every_model_and_shown(loaded):
    compare(models=("one", "two"), attacks=True)
    found = results().attacks
    assert list(found) == ["one", "two"]
    lines = {line.attack: line for line in found["one"]}
    assert lines["order"].median == pytest.approx(1)
    assert lines["the word twenty times"].turned == 1
    page = Path("results/report.html").read_text(encoding="utf-8")
    assert '<h2 id="attacks">Hostile texts</h2>' in page
    assert "the word twenty times" in page


def test_without_being_asked_for_nobody_is_attacked(loaded):
    compare()
    assert results().attacks == {}
    assert "Hostile texts" not in Path("results/report.html").read_text(encoding="utf-8")


def test_attacks_need_a_text_and_a_language_model(loaded, quick):
    with pytest.raises(DataError) as error:
        compare(attacks=True, approaches=("embedding",))
    assert str(error.value) == (
        "--attacks needs a language model, and no approach asked for has one"
    )
    bare = Path("p.jinja").read_text(encoding="utf-8").replace("text: [feedback]\n", "")
    Path("bare.jinja").write_text(bare, encoding="utf-8")
    with pytest.raises(DataError) as error:
        compare(attacks=True, prompts=("bare.jinja",))
    assert str(error.value) == "--attacks needs a text column; bare.jinja declares none (text: [])"
    assert loaded == {}


# -- personal data -----------------------------------------------------------------------------


def test_a_planted_address_reaches_no_prompt_and_no_file_of_a_comparison(loaded):
    """Not even the prompt that the report shows because somebody asked to see one."""
    pytest.importorskip("presidio_analyzer")
    table = pd.read_csv("customers.csv")
    table["feedback"] += " write to bolena@mail.example"
    table.to_csv("customers.csv", index=False)
    said = []
    compare(said.append, redact=True, keep_prompts=True, attacks=True)
    asked = "".join(prompt.user for prompt in loaded["tiny"].asked)
    assert "write to [email " in asked
    files = [path for path in Path("results").rglob("*") if path.is_file()]
    assert len(files) >= 5
    seen = [asked, *said, *(path.read_bytes().decode("latin-1") for path in files)]
    assert not any("bolena" in text or "mail.example" in text for text in seen)
    assert "write to [email " in Path("results/report.html").read_text(encoding="utf-8")
