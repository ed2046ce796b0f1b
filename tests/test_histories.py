"""Histories: what events before the cut-off say of a customer, and nothing of what came later."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from promptpredict.comparing import BenchmarkOptions
from promptpredict.errors import DataError, PromptPredictError
from promptpredict.eventframes import with_events
from promptpredict.histories import LOOKED_AT, EventOptions, History
from promptpredict.labelled import ReadingOptions
from promptpredict.plans import Plan
from promptpredict.records import Reading, Roles, read_blocks, read_header
from walked import PROMPT, column, read, rejects, score, table, write

COLUMNS = [
    *("events_count", "events_first_days", "events_recency_days", "events_mean_gap_days"),
    *("events_longest_gap_days", "events_last_90_days", "events_trend", "events_amount_total"),
    *("events_amount_mean", "events_last"),
]
ORDERS = [
    "007,2026-01-10,20,book",
    "8,2026-05-01,5.5,pen",
    "007,2026-05-20,40,lamp",
    "007,2026-03-01,,pen",
    "007,2026-06-01,999,late",
]


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table("orders.csv", "id,when,paid,item", ORDERS)
    table("customers.csv", "id,plan", ["007,a", "8,b", "0x9,c"])


def history(**changes):
    return History(
        EventOptions(
            **{"table": "orders.csv", "as_of": "2026-06-01", "key": "id", "amount": "paid"}
            | changes
        )
    )


def summaries(**changes):
    blocks = read_blocks("customers.csv", Roles(id="id"), Reading(events=history(**changes)))
    return {record.id: record.values for block in blocks for record in block.records}


def fault(**changes):
    with pytest.raises(DataError) as caught:
        summaries(**changes)
    return str(caught.value)


def test_a_customer_gets_the_sum_of_what_was_before_the_cut_off():
    assert read_header("customers.csv", Reading(events=history())) == ["id", "plan", *COLUMNS]
    found = summaries()
    assert found["007"] == {
        "id": "007", "plan": "a", "events_count": 3, "events_first_days": 142, "events_recency_days": 12,
        "events_mean_gap_days": 65, "events_longest_gap_days": 80, "events_last_90_days": 1,
        "events_trend": -1, "events_amount_total": 60, "events_amount_mean": 30,
        "events_last": "2026-05-20 (paid 40, item lamp); 2026-03-01 (item pen); "
        "2026-01-10 (paid 20, item book)",
    }  # fmt: skip
    assert found["8"] | {"id": 0, "plan": 0} == {
        "id": 0, "plan": 0, "events_count": 1, "events_first_days": 31, "events_recency_days": 31,
        "events_mean_gap_days": None, "events_longest_gap_days": None, "events_last_90_days": 1,
        "events_trend": 1, "events_amount_total": 5.5, "events_amount_mean": 5.5,
        "events_last": "2026-05-01 (paid 5.5, item pen)",
    }  # fmt: skip
    none = {name: value for name, value in found["0x9"].items() if name in COLUMNS}
    counts = ("events_count", "events_last_90_days", "events_trend")
    assert none == dict.fromkeys(COLUMNS) | dict.fromkeys(counts, 0)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_slow_loop_finds(seed):
    drawn = random.Random(seed)
    days = [date(2026, 1, 1) + timedelta(drawn.randrange(400)) for _ in range(80)]
    events = [(drawn.choice("ab"), day, drawn.randrange(1, 99)) for day in days]
    table("orders.csv", "id,when,paid", [f"{key},{day},{paid}" for key, day, paid in events])
    table("customers.csv", "id,until", ["a,2026-08-01", "b,2026-11-15"])
    for key, values in summaries(as_of="until").items():
        end = values["until"]
        own = sorted((day, paid) for who, day, paid in events if who == key and day < end)
        ago = [(end - day).days for day, _ in own]
        gaps = [one - other for one, other in pairwise(ago)]
        assert values["events_count"] == len(own)
        assert (values["events_first_days"], values["events_recency_days"]) == (ago[0], ago[-1])
        assert values["events_mean_gap_days"] == pytest.approx(round(sum(gaps) / len(gaps), 1))
        assert values["events_longest_gap_days"] == max(gaps)
        recent = sum(each <= 90 for each in ago)
        assert values["events_last_90_days"] == recent
        assert values["events_trend"] == recent - sum(90 < each <= 180 for each in ago)
        assert values["events_amount_total"] == sum(paid for _, paid in own)
        assert [part[:10] for part in values["events_last"].split("; ")] == [
            str(day) for day, _ in own[:-4:-1]
        ]


def test_a_planted_future_event_changes_nothing():
    before = summaries()
    table("orders.csv", "id,when,paid,item", [*ORDERS, "8,2026-06-01,1,x", "8,2031-01-01,9,y", "0x9,2026-07-01,5,z"])  # fmt: skip
    assert summaries() == before
    table("orders.csv", "id,when,paid,item", [*ORDERS, "8,2026-05-31 23:59:59,1,x"])
    assert summaries()["8"]["events_count"] == 2
    assert summaries()["007"] == before["007"]


HISTORIC = PROMPT.replace(
    "{{ customer.feedback }}", "{{ customer.feedback }} {{ customer.events_last }}"
).replace("fields: {amount:", "fields: {events_count: {name: Orders}, amount:")
GIVEN = {"events": "orders.csv", "as_of": "2026-06-01", "events_amount": "paid"}


def test_scores_do_not_know_the_future_and_know_the_past(fakes):
    write("p.jinja", HISTORIC)
    score(fakes, **GIVEN)
    first = Path("scores.csv").read_bytes()
    shown = [prompt.user for prompt in fakes.lm.asked]
    assert "Orders: 3" in shown[0]
    assert "item lamp" in shown[0]
    assert "999" not in "".join(shown)
    table("orders.csv", "id,when,paid,item", [*ORDERS, "8,2026-06-02,1,angry angry angry"])
    fakes.lm.asked.clear()
    score(fakes, **GIVEN, out="again.csv")
    assert [prompt.user for prompt in fakes.lm.asked] == shown
    assert Path("again.csv").read_bytes() == first
    table("orders.csv", "id,when,paid,item", [*ORDERS, "8,2026-05-30,1,angry angry angry"])
    score(fakes, **GIVEN)
    assert column("p_1")[1] > column("p_1", "again.csv")[1]  # a prompt of its own: read anew
    assert column("p_1")[0] == column("p_1", "again.csv")[0]


def test_a_customer_without_a_cut_off_is_a_reject(fakes):
    write("p.jinja", HISTORIC)
    rows = ["007,1,angry,2026-06-01", "8,2,happy,", "0x9,3,sad,soon"]
    table("customers.csv", "id,amount,feedback,until", rows)
    score(fakes, **GIVEN | {"as_of": "until"})
    assert [row["id"] for row in read()] == ["007"]
    assert [(each["id"], each["reason"]) for each in rejects()] == [
        ("8", "line 3: column 'until' holds no value"),
        ("0x9", "line 4: column 'until' holds 'soon', which is no date or time"),
    ]


def test_personal_data_in_events_is_redacted(fakes):
    pytest.importorskip("presidio_analyzer")
    write("p.jinja", HISTORIC)
    table("orders.csv", "id,when,item", ["007,2026-05-01,mail ann@example.com"])
    score(fakes, **GIVEN | {"events_amount": None}, redact=True)
    shown = "".join(prompt.user for prompt in fakes.lm.asked)
    assert "example.com" not in shown
    assert "[email " in shown


# -- what is found out, and faults -----------------------------------------------------------


def test_the_time_is_found_out_and_the_amount_is_not():
    assert history().options.time == "when"
    none = history(amount=None)  # what is a number in the first row may be a code, or come later
    assert (none.options.amount, "events_amount_total" in none.columns) == (None, False)


def test_what_a_prompt_file_hides_is_not_shown_of_an_event(fakes):
    write("p.jinja", HISTORIC)
    table("orders.csv", "id,when,paid,Left,note", ["007,2026-05-01,3,1,secret"])
    score(fakes, **GIVEN)
    shown = fakes.lm.asked[0].user
    assert "2026-05-01 (paid 3)" in shown
    assert "secret" not in shown
    assert fault(amount="Left", hidden=("Left",)) == (
        "the column 'Left' of orders.csv is kept from the model by the prompt file, and cannot be "
        "the amount of events"
    )


def test_what_one_of_several_prompt_files_hides_is_shown_by_none():
    """They are compared on one table, which is read once."""
    write("p.jinja", HISTORIC)
    write("other.jinja", HISTORIC.replace("ignore: [", "ignore: [item, "))
    asked = BenchmarkOptions(
        labelled="customers.csv", prompts=["p.jinja", "other.jinja"], out=Path("out"), plan=Plan(),
        events="orders.csv", as_of="2026-06-01",
    )  # fmt: skip
    assert "item" in asked.history.options.hidden


def test_a_date_that_is_later_than_the_event_is_not_shown():
    table("orders.csv", "id,when,paid,ordered,returned", ["007,2026-05-01,3,2026-04-30,2026-07-05"])
    assert summaries(time="when")["007"]["events_last"] == "2026-05-01 (paid 3, ordered 2026-04-30)"


def test_a_blank_key_is_nobody():
    table("orders.csv", "id,who,when,paid", ["1,,2026-05-01,3", "2,a,2026-05-02,4"])
    table("customers.csv", "id,who", ["007,", "8,a"])
    found = summaries(key="who")
    assert [found[key]["events_count"] for key in ("007", "8")] == [0, 1]


def test_the_events_are_not_written_over(fakes):
    table("orders.csv", "id,when,paid,item", ORDERS)
    with pytest.raises(PromptPredictError) as caught:
        score(fakes, **GIVEN, out="orders.csv")
    assert str(caught.value) == (
        "--out would overwrite the table of events, orders.csv; give another file to write"
    )


def test_times_with_a_zone_are_compared_as_moments():
    table("orders.csv", "id,when", ["007,2026-05-31T23:30:00-02:00", "8,2026-05-31T23:30:00+02:00"])
    found = summaries(as_of="2026-06-01T00:00:00+00:00", amount=None)
    assert [found[key]["events_count"] for key in ("007", "8")] == [0, 1]
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    assert (
        history(as_of="2026-06-01T00:00:00+00:00", amount=None).summary("8", moment)["events_count"]
        == 1
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"key": "idd"}, "orders.csv has no column 'idd' (nearest: 'id')"),
        ({"time": "whem"}, "orders.csv has no column 'whem' (nearest: 'when')"),
        ({"amount": "payed"}, "orders.csv has no column 'payed' (nearest: 'paid')"),
        ({"amount": "item"}, "orders.csv, row 1: column 'item' holds 'book', which is not a number"),
        ({"time": "item"}, "orders.csv, row 1: column 'item' holds 'book', which is no date or time"),
        ({"as_of": "untill"}, "customers.csv has no column 'untill' for the cut-off of its events (and it is no date); it has id, plan"),
        ({"as_of": "2026-13-01"}, "'2026-13-01', which is no date or time"),
        ({"as_of": "2026-06-01T00:00:00+01:00"}, "orders.csv, row 1: column 'when' has no time zone, and other times have one"),
        ({"table": "none.csv"}, "there is no file none.csv (nearest: 'orders.csv')"),
    ],
)  # fmt: skip
def test_slips_are_told(changes, text):
    assert fault(**changes) == text


def test_tables_that_do_not_fit_are_told():
    table("orders.csv", "id,when,sent", ["007,2026-01-10,2026-01-11"])
    assert (
        fault(amount=None)
        == "orders.csv: 2 columns hold dates: when, sent; possible: --events-time COLUMN"
    )
    table("orders.csv", "id,item", ["007,book"])
    assert fault(amount=None) == "orders.csv: no column holds dates; possible: --events-time COLUMN"
    table("orders.csv", "id,when", ["007,2026-01-10", "8,soon"])
    assert (
        fault(amount=None)
        == "orders.csv, row 2: column 'when' holds 'soon', which is no date or time"
    )
    table("orders.csv", "id,when", ["007,2026-01-10"])
    table("customers.csv", "id,events_count", ["007,3"])
    assert fault(amount=None) == (
        "customers.csv has a column 'events_count', which --events adds; possible: another name"
    )
    table("customers.csv", "customer,plan", ["007,3"])
    with pytest.raises(DataError) as caught:
        read_header("customers.csv", Reading(events=history(amount=None)))
    assert (
        str(caught.value)
        == "customers.csv has no column 'id' for the key of its events; it has customer, plan"
    )


def test_a_disk_that_is_full_is_told():
    table("orders.csv", "id,when,paid,item", [f"{n},2026-01-10,20,book" for n in range(5000)])
    roomy = history()
    roomy.load()
    (pages,) = roomy._events.execute("PRAGMA page_count").fetchone()
    for most in (4, pages - 1):  # full by the events, and by their index
        full = history()
        full._events.execute(f"PRAGMA max_page_count = {most}")
        with pytest.raises(DataError) as caught:
            list(read_blocks("customers.csv", Roles(id="id"), Reading(events=full)))
        assert str(caught.value) == (
            "the events of orders.csv cannot be put aside on the disk (database or disk is full); "
            "possible: another folder in TMPDIR"
        )


def test_a_disk_that_is_full_later_is_no_fault_of_a_customer():
    """Events that wait in memory are written when others are looked up."""
    full = history()
    full.load()
    full._events.execute("DROP TABLE events")  # any error of the database
    with pytest.raises(DataError, match=r"^the events of orders\.csv cannot be put aside"):
        list(read_blocks("customers.csv", Roles(id="id"), Reading(events=full)))


def test_keys_of_another_kind_are_told():
    table("customers.csv", "id,plan", [f"c{at},a" for at in range(LOOKED_AT)])
    assert fault() == (
        "none of the first 100 customers of customers.csv has an event in orders.csv before its "
        "cut-off, by the column 'id' of both; possible: another --events-key, or a later --as-of"
    )


@pytest.mark.parametrize("count", [1, LOOKED_AT - 1])
def test_of_few_customers_without_an_event_it_is_a_note(count):
    table("customers.csv", "id,plan", [f"c{at},a" for at in range(count)])
    known = history()
    reading = Reading(events=known)
    list(read_blocks("customers.csv", Roles(id="id"), reading))
    said = (
        "no customer of customers.csv has an event in orders.csv before its "
        "cut-off, by the column 'id' of both; possible: another --events-key, or a later --as-of"
    )
    assert (reading.notes(), reading.notes()) == ([said], [])


def test_score_says_that_no_customer_has_an_event(fakes):
    write("p.jinja", HISTORIC)
    table("customers.csv", "id,amount,feedback", ["new,1,angry"])
    _, said = score(fakes, **GIVEN)
    assert [line.split(", by")[0] for line in said] == [
        "no customer of customers.csv has an event in orders.csv before its cut-off"
    ]


def test_keys_of_a_table_are_looked_at_whatever_another_table_has():
    known = history()
    list(read_blocks("customers.csv", Roles(id="id"), Reading(events=known)))  # who have events
    table("strangers.csv", "id,plan", [f"c{at},a" for at in range(LOOKED_AT)])
    with pytest.raises(DataError, match=r"^none of the first 100 customers of strangers\.csv has"):
        list(read_blocks("strangers.csv", Roles(id="id"), Reading(events=known)))
    assert known.notes() == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"as_of": "2026-01-01"}, "--as-of needs --events"),
        ({"events_time": "when"}, "--events-time needs --events"),
        ({"events": "orders.csv"}, "--events needs --as-of, a date or a column of the customers that holds it"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(given, text):
    with pytest.raises(DataError) as caught:
        _ = ReadingOptions(**given).history
    assert str(caught.value) == text


def test_ray_is_refused(fakes):
    with pytest.raises(PromptPredictError) as caught:
        score(fakes, **GIVEN, on="ray")
    assert str(caught.value) == (
        "--on ray does not take --events; possible: one machine, or joined columns"
    )


def test_frames_are_joined_as_tables_are():
    customers = pd.read_csv("customers.csv", dtype={"id": str})
    orders = pd.read_csv("orders.csv", dtype={"id": str}, parse_dates=["when"])
    found = with_events(customers, orders, key="id", as_of="2026-06-01", amount="paid")
    assert list(found.columns) == ["id", "plan", *COLUMNS]
    expected = summaries()
    for _, row in found.iterrows():
        for name in ("events_count", "events_trend", "events_last"):
            value = expected[row["id"]][name]
            assert row[name] == value or (value is None and pd.isna(row[name]))
    hidden = with_events(customers, orders, key="id", as_of="2026-06-01", hidden=["Item"])
    assert not hidden["events_last"].str.contains("item", na=False).any()
    assert found["events_last"].str.contains("item", na=False).any()
    customers["until"] = ["2026-06-01", None, "2026-06-01"]
    with pytest.raises(DataError) as caught:
        with_events(customers, orders, key="id", as_of="until")
    assert str(caught.value) == "customers, row 2: column 'until' holds no value"
