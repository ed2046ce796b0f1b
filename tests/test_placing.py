"""`numbers: rounded` and `placed`: prompts whole, where places are learned from, what is said without."""

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from compared import PROMPT, benchmark, customers, markers, prompt_file
from fakes import FakeEncoder, FakeLM
from promptpredict.about import prompt_text
from promptpredict.baselines import EmbeddingClassifier, StructuredClassifier
from promptpredict.developing import develop
from promptpredict.errors import DataError
from promptpredict.estimators import ProbeClassifier, PromptClassifier
from promptpredict.memo import Memo
from promptpredict.placing import placed_files
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.showing import CheckOptions, RenderOptions, check_file, render_row
from promptpredict.trying import WordingsOptions, try_table
from test_trying import TRIED
from walked import PROMPT as SCORED
from walked import TRAIN_HEADER, score, table, write

SHOWN = """---
task: binary
target: left
labels: {1: angry, 0: happy}
positive: 1
id: id
text: [feedback]
fields: {spent: {unit: USD}, share: {format: ".0%", name: Share used}, fee: {unit: EUR}}
numbers: WAY
---
{% block system %}You judge.{% endblock %}
{% block customer %}{% for field in customer.fields %}{{ field.name }}: {{ field.value }} | {{ field.raw }}
{% endfor %}{{ customer.spent }} {{ customer.feedback }}{% endblock %}
{% block question %}How?{% endblock %}
"""
LESS = "p.jinja has numbers: placed, and places are learned from 20 records or more; there {}, and its numbers are only rounded"
NO_TRAIN = (
    "p.jinja has numbers: placed, which needs records to learn places from (--train LABELLED); its "
    "numbers are only rounded"
)


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def shown(way):
    return PromptFile.from_text(SHOWN.replace("WAY", way), name="p.jinja")


def record(row=0, **changes):
    values = {
        "id": row, "spent": 1000 + row * 11.5, "share": row / 100, "fee": -row - 0.25, "year": 1950 + row,
        "plan": "gold", "since": date(2024, 1, 31), "paid": True, "last": None, "feedback": "fine",
    }  # fmt: skip
    return Record(row, str(row), values | changes, "1")


ALL = [record(row) for row in range(40)]
WHOLE = {
    "plain": """\
spent: 1448.5 USD | 1448.5
Share used: 39% | 0.39
fee: -39.25 EUR | -39.25
year: 1989 | 1989
plan: gold | gold
since: 2024-01-31 | 2024-01-31
paid: True | True
last: not recorded | not recorded
1448.5 fine""",
    "rounded": """\
spent: 1,450 USD | 1448.5
Share used: 39% | 0.39
fee: -39.2 EUR | -39.25
year: 1989 | 1989
plan: gold | gold
since: 2024-01-31 | 2024-01-31
paid: True | True
last: not recorded | not recorded
1448.5 fine""",
    "placed": """\
spent: 1,450 USD (in the top 10 %) | 1448.5
Share used: 39% (in the top 10 %) | 0.39
fee: -39.2 EUR (in the lowest 10 %) | -39.25
year: 1989 (in the top 10 %) | 1989
plan: gold | gold
since: 2024-01-31 | 2024-01-31
paid: True | True
last: not recorded | not recorded
1448.5 fine""",
}


@pytest.mark.parametrize("way", WHOLE)
def test_a_customer_is_shown_so(way):
    file = shown(way).placed(ALL)
    assert file.render_customer(ALL[39]) == WHOLE[way]
    prompt = file.render(ALL[0], [ALL[39]])
    assert prompt.shots[0].user == f"{WHOLE[way]}\nHow?"


@pytest.mark.parametrize("way", ["plain", "rounded"])
def test_only_placed_numbers_learn(way):
    file = shown(way)
    assert file.placed(ALL) is file
    assert file.placed_as(shown("placed").placed(ALL).standing) is file


def test_a_whole_number_never_has_a_fraction_of_zero():
    file = shown("placed").placed(ALL)
    cells = (12.0, 12, 12.001, -0.0, 1e3, 1e14, 120000.0)
    for cell in cells:
        assert not re.search(r"\d\.0\b", file.render_customer(record(spent=cell, share=0.5, fee=cell)).split("|")[0])  # fmt: skip


# -- the file -------------------------------------------------------------------------------------


def test_a_placed_file_is_another_object_with_prompts_of_its_own():
    file = shown("placed")
    file.name = "renamed"
    file.warnings.append("said")
    before = file.render_customer(ALL[39])
    one, other = file.placed(ALL), file.placed([record(row * 9) for row in range(40)])
    assert before == WHOLE["rounded"]
    assert one.render_customer(ALL[39]) == WHOLE["placed"]
    assert "spent: 1,450 USD (in the lowest quarter)" in other.render_customer(ALL[39])
    assert file.render_customer(ALL[39]) == before
    assert (one.name, one.warnings) == ("renamed", ["said"])
    one.warnings.append("more")
    assert file.warnings == ["said"]


def test_fingerprints_tell_places_apart():
    file = shown("placed")
    one, same, other = file.placed(ALL), file.placed(ALL[::-1]), file.placed(ALL[:30])
    assert one.fingerprint == same.fingerprint
    assert len({file.fingerprint, one.fingerprint, other.fingerprint}) == 3
    assert file.placed(ALL[:5]).fingerprint == file.fingerprint  # which shows the same
    assert one.placed(ALL[:30]).fingerprint == other.fingerprint
    assert one.placed_as(None).fingerprint == file.fingerprint
    assert len({shown(way).fingerprint for way in WHOLE}) == 3


def test_a_placed_file_pickles_and_is_cloned():
    one = shown("placed").placed(ALL)
    again = pickle.loads(pickle.dumps(one))
    assert (again.fingerprint, again.standing) == (one.fingerprint, one.standing)
    assert again.render_customer(ALL[39]) == WHOLE["placed"]
    assert again.placed(ALL[:5]).fingerprint == shown("placed").fingerprint
    cloned = clone(PromptClassifier(one, model=FakeLM())).prompt
    assert cloned.render_customer(ALL[39]) == WHOLE["placed"]
    bare = pickle.loads(pickle.dumps(shown("placed")))
    assert (bare.standing, bare.fingerprint) == (None, shown("placed").fingerprint)


def test_what_has_no_place_is_said():
    few = [record(row, spent=1, share=0.5, fee=2, year=3) for row in range(30)]
    said = [
        placed_files([shown("placed"), shown("rounded")], given)[1]
        for given in (None, ALL[:1], ALL[:19], few, ALL)
    ]
    assert said == [
        [NO_TRAIN],
        [LESS.format("is 1 record")],
        [LESS.format("are 19 records")],
        ["p.jinja has numbers: placed, and no column of 30 records has 20 different numbers; its numbers are only rounded"],
        [],
    ]  # fmt: skip


# -- estimators -----------------------------------------------------------------------------------


PLACED = PROMPT.replace("task:", "numbers: placed\ntask:")
BANDS = re.compile(r"price: (\S+) \((.*)\)")


def fitted(estimator, rows):
    return estimator.fit(rows, [row.label for row in rows])


def test_estimators_learn_places_from_the_rows_of_their_fit():
    rows, lm = customers(60), FakeLM()
    given = prompt_file(PLACED)
    zero = fitted(PromptClassifier(given, model=lm, shots=2), rows[:40])
    assert zero.prompt_file_.fingerprint == given.placed(rows[:40]).fingerprint
    assert given.standing is None
    zero.predict_proba(rows[40:])
    assert all(BANDS.search(prompt.user) for prompt in lm.asked)
    assert all(BANDS.search(turn.user) for prompt in lm.asked for turn in prompt.shots)
    again = fitted(zero, rows[20:])
    assert again.prompt_file_.fingerprint == given.placed(rows[20:]).fingerprint
    unlabelled = PromptClassifier(given, model=lm).fit(rows[:40])
    assert unlabelled.prompt_file_.fingerprint == zero.prompt_file_.placed(rows[:40]).fingerprint


def test_a_file_that_knows_its_places_keeps_them():
    rows = customers(60)
    given = prompt_file(PLACED).placed(rows)
    kept = [
        fitted(kind, rows[:20]).prompt_file_
        for kind in (
            PromptClassifier(given, model=FakeLM()),
            ProbeClassifier(given, model=FakeLM()),
        )
    ]
    assert kept == [given, given]
    assert PromptClassifier(given, model=FakeLM()).fit(rows[:1]).prompt_file_ is given


def test_encoders_read_the_same_text_and_columns_stay_numbers():
    rows, encoder = customers(60), FakeEncoder()
    embedding = fitted(EmbeddingClassifier(prompt_file(PLACED), encoder=encoder), rows)
    assert all(BANDS.search(text) for text in encoder.asked)
    placed, plain = (fitted(StructuredClassifier(prompt_file(text)), rows) for text in (PLACED, PROMPT))  # fmt: skip
    assert np.array_equal(placed.predict_proba(rows), plain.predict_proba(rows))
    assert embedding.predict_proba(rows).shape == (60, 2)


@pytest.mark.parametrize(("count", "are"), [(1, "is 1 record"), (19, "are 19 records")])
def test_few_rows_are_warned_of_and_rounded(count, are):
    lm = FakeLM()
    with pytest.warns(UserWarning, match=f"^{re.escape(LESS.format(are))}$"):
        zero = PromptClassifier(prompt_file(PLACED), model=lm).fit(customers(count))
    zero.predict_proba(customers(count))
    assert not any(BANDS.search(prompt.user) for prompt in lm.asked)


# -- the comparison -------------------------------------------------------------------------------


def prices(lm):
    """Return how the price of each customer stands in the prompts that were asked."""
    found = {}
    for prompt in lm.asked:
        for text in (prompt.user, *(turn.user for turn in prompt.shots)):
            [row] = markers(text)
            found.setdefault(row, set()).add(re.search(r"price: (.*)", text)[1])
    return found


def test_a_comparison_shows_each_customer_in_one_way_at_every_budget():
    lm = FakeLM()
    run = benchmark(customers(120), lm=lm, file=prompt_file(PLACED), budgets=(0, 4, 16, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run.run()
    [split] = run.splits
    expected = prompt_file(PLACED).placed([run.records[row] for row in split.train])
    assert run.files[0].standing == expected.standing
    assert run.prompt_file.standing is None
    assert {len(texts) for texts in prices(lm).values()} == {1}
    for row, [text] in prices(lm).items():
        price = run.records[row - 1].values["price"]
        assert text == f"{price:.3g}{expected.standing.behind('price', price)}"
    assert len(lm.asked) == len({repr(prompt) for prompt in lm.asked})  # each is read once
    assert not any("numbers: placed" in note for note in found.notes)


def extreme(records, row):
    """Return records of which one has a price beyond all others."""
    values = dict(records[row].values) | {"price": 98765.4}
    return [*records[:row], replace(records[row], values=values), *records[row + 1 :]]


@pytest.mark.parametrize("side", ["test", "train"])
def test_only_training_rows_move_the_marks(side):
    plain, records = FakeLM(), customers(120)
    run = benchmark(records, lm=plain, file=prompt_file(PLACED))
    run.run()
    # a training row in the middle, which moves every mark above it
    train = sorted(run.splits[0].train, key=lambda row: records[row].values["price"])
    row = run.splits[0].test[3] if side == "test" else train[0]
    planted, lm = extreme(records, row), FakeLM()
    other = benchmark(planted, lm=lm, file=prompt_file(PLACED))
    other.run()
    assert prices(lm).get(row + 1, {"98,800 (in the top 10 %)"}) == {"98,800 (in the top 10 %)"}
    others = [{at: text for at, text in prices(each).items() if at != row + 1} for each in (plain, lm)]  # fmt: skip
    assert (others[0] == others[1]) is (side == "test")
    assert (run.files[0].standing == other.files[0].standing) is (side == "test")


def test_folds_have_marks_of_their_own():
    lm = FakeLM()
    run = benchmark(customers(120), lm=lm, file=prompt_file(PLACED), folds=3, budgets=(0,))
    run.run()
    assert len({file.fingerprint for file in run.files}) == 3
    by_row = prices(lm)
    for split, file in zip(run.splits, run.files, strict=True):
        for row in split.test:
            price = run.records[row].values["price"]
            assert by_row[row + 1] == {f"{price:.3g}{file.standing.behind('price', price)}"}


def test_a_comparison_of_few_rows_says_so():
    run = benchmark(customers(24), file=prompt_file(PLACED), budgets=(0,), max_test=12)
    assert LESS.format("are 12 records") in run.run().notes


def test_reports_and_choices_of_files_show_places_too():
    records = customers(120)
    run = benchmark(records, file=prompt_file(PLACED))
    text = prompt_text(run.memo.lm, run.files[0], [records[row] for row in run.splits[0].train])
    assert re.search(r"price: \S+ \(about the middle\)", text)
    lm = FakeLM()
    develop(run.files * 2, [records] * 2, run.splits[0].train, Memo(lm))
    assert all(BANDS.search(prompt.user) for prompt in lm.asked)


# -- score ----------------------------------------------------------------------------------------


AMOUNTS = SCORED.replace("task:", "numbers: placed\ntask:").replace(', format: ".2f"', "")
ROWS = [f"c{at},{at * 100 + 0.5},{'angry' if at % 2 else 'happy'}" for at in range(30)]
TOLD = [f"t{at},{at * 100 + 50},told {at} {'angry' if at % 2 else 'happy'},{at % 2}" for at in range(60)]  # fmt: skip
TRAIN = TOLD[:30]


@pytest.fixture
def files(fakes):
    write("p.jinja", AMOUNTS)
    table("customers.csv", "id,amount,feedback", ROWS)
    table("train.csv", TRAIN_HEADER, TRAIN)
    return fakes


def amounts(lm):
    return [re.search(r"amount: (.*)", prompt.user)[1] for prompt in lm.asked]


def test_score_learns_places_from_train(files):
    _, said = score(files, train="train.csv")
    assert said == []
    found = amounts(files.lm)
    assert found[0] == "0.5 EUR (in the lowest 10 %)"
    assert "1,500 EUR (about the middle)" in found
    assert found[29] == "2,900 EUR (in the top 10 %)"


def test_score_without_train_rounds_and_says_so(files):
    _, said = score(files)
    assert said == [NO_TRAIN]
    assert amounts(files.lm)[29] == "2,900 EUR"


def test_score_with_few_labelled_records_says_so(files):
    table("train.csv", TRAIN_HEADER, TRAIN[:12])
    _, said = score(files, train="train.csv")
    assert said == [LESS.format("are 12 records")]
    assert amounts(files.lm)[29] == "2,900 EUR"


def test_train_is_used_where_it_gives_places_and_a_base_rate_the_level(files):
    unused = "--train is not used: --base-rate gives the level; possible: --shots, or one of them"
    few = "not calibrated to the base rate 0.3: 30 scored rows are too few"
    _, said = score(files, train="train.csv", base_rate=0.3)
    assert [line.startswith(few) for line in said] == [True]
    write("p.jinja", AMOUNTS.replace("placed", "rounded"))
    assert score(files, train="train.csv", base_rate=0.3)[1][0] == unused


def test_averaged_files_learn_each(files):
    write("q.jinja", AMOUNTS.replace("placed", "rounded"))
    score(files, train="train.csv", others=("q.jinja",), limit=1)
    assert {"0.5 EUR (in the lowest 10 %)", "0.5 EUR"} <= set(amounts(files.lm))


def test_a_saved_calibration_belongs_to_its_places(files):
    score(files, train="train.csv", save_calibration="c.json")
    assert score(files, train="train.csv", calibration="c.json")[1] == []
    table("other.csv", TRAIN_HEADER, TRAIN[:25])
    with pytest.raises(DataError, match=r"^c\.json was found with another prompt \(file, shots or places of numbers\): "):  # fmt: skip
        score(files, train="other.csv", calibration="c.json")


def test_a_run_that_goes_on_ends_with_the_same_bytes(files, tmp_path):
    asked = {"train": "train.csv", "block_rows": 8}
    score(files, **asked, out="whole.csv")
    count, original = len(files.lm.asked), files.lm.score

    def stops(prompts, labels, **given):
        if len(files.lm.asked) >= count + 16:  # two blocks
            raise KeyboardInterrupt
        return original(prompts, labels, **given)

    files.lm.score = stops
    with pytest.raises(KeyboardInterrupt):
        score(files, **asked, out="twice.csv")
    read = len(files.lm.asked)
    files.lm.score = original
    _, said = score(files, **asked, out="twice.csv")
    assert "resuming the run that was interrupted (twice.csv.ledger)" in said
    assert 0 < len(files.lm.asked) - read < count
    assert (tmp_path / "twice.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    before = len(files.lm.asked)
    table("train.csv", TRAIN_HEADER, TRAIN[5:])  # other places, and so other prompts
    score(files, **asked, out="twice.csv")
    assert len(files.lm.asked) > before


# -- render, check, wordings ----------------------------------------------------------------------


def test_render_shows_places(files):
    said = []
    given = {"customers": "customers.csv", "prompt": "p.jinja", "row": 30, "model": "smollm2-135m"}
    bare = render_row(RenderOptions(**given), said.append)
    assert said == [NO_TRAIN]
    assert "amount: 2,900 EUR\n" in bare
    text = render_row(RenderOptions(**given, train="train.csv"), said.append)
    assert said == [NO_TRAIN]
    assert "amount: 2,900 EUR (in the top 10 %)\n" in text
    shots = render_row(RenderOptions(**given, train="train.csv", shots=2), said.append)
    assert len(re.findall(r"amount: .* EUR \(", shots)) == 3


def test_check_accepts_all_three(files):
    for way in WHOLE:
        write("p.jinja", AMOUNTS.replace("placed", way))
        found, warned = check_file(CheckOptions(prompt="p.jinja", customers="customers.csv"))
        assert (found.endswith("\nok"), warned) == (True, [])


@pytest.mark.parametrize("unlabelled", [False, True])
def test_wordings_show_places(files, monkeypatch, unlabelled):
    from promptpredict import loading, models

    monkeypatch.setattr(models, "pick", lambda name, say: name)
    monkeypatch.setattr(loading, "load_language_model", lambda source, *, say: files.lm)
    write("p.jinja", AMOUNTS.replace("[angry, sad]", "angry"))
    write("try.yaml", TRIED)
    table("labelled.csv", TRAIN_HEADER, TOLD)
    asked = WordingsOptions(labelled="labelled.csv", prompt="p.jinja", tried="try.yaml", rows=10, unlabelled=unlabelled)  # fmt: skip
    try_table(asked)
    assert len(files.lm.asked) >= 20
    assert all(re.search(r" EUR \(", text) for text in amounts(files.lm))
