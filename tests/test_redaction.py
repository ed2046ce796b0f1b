"""Personal data out of texts: how much is found, what takes its place, and that none gets through."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from pathlib import Path

import pytest

pytest.importorskip("presidio_analyzer")

from personal import measure
from promptpredict import recognisers as patterns
from promptpredict.errors import DataError
from promptpredict.recognisers import Span, recognisers
from promptpredict.records import OPEN, Reading, Roles, read_blocks
from promptpredict.redaction import KINDS, Private, Redactor, private, read_salt, salted
from promptpredict.showing import CheckOptions, check_file
from walked import HEADER, PROMPT, TRAIN, TRAIN_HEADER, column, score, table, write


@pytest.fixture(scope="module")
def redactor():
    return Redactor()


# -- how much is found ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(redactor):
    """Recall by what was planted, precision by what was found: kind → (right, of how many)."""
    return measure(redactor)


LEAST = {  # of what was planted is found whole
    "email": 1.0, "card": 1.0, "iban": 1.0, "phone": 0.95, "id": 0.95, "address": 0.95, "name": 0.95,
}  # fmt: skip


@pytest.mark.parametrize("kind", LEAST)
def test_recall_on_made_up_texts(measured, kind):
    right, of = measured[0][kind]
    assert of > 80
    assert right / of >= LEAST[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_precision_on_made_up_texts(measured, kind):
    right, of = measured[1][kind]
    assert right / of >= 0.95


def test_names_without_a_cue_are_for_a_named_entity_model(measured):
    """Said in the README; the patterns alone would take every capitalised word for a name."""
    right, of = measured[0]["uncued name"]
    assert of > 80
    assert right / of < 0.5


def test_an_installed_named_entity_model_finds_names_without_a_cue(monkeypatch, tmp_path):
    import spacy

    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Bolena Tarvik"},
                        {"label": "ORG", "pattern": "Acme"}])  # fmt: skip
    model.to_disk(tmp_path / "m")
    load = spacy.load
    monkeypatch.setattr(spacy.util, "get_installed_models", lambda: ["en_made_up"])
    monkeypatch.setattr(spacy, "load", lambda _, **given: load(tmp_path / "m", **given))
    text = "Then Bolena Tarvik of Acme hung up."
    assert re.sub(r"[0-9a-f]{6}", "x", Redactor()(text)) == "Then [name x] of Acme hung up."


# -- what takes its place ------------------------------------------------------------------------


def plain(text):
    return re.sub(r"\[(\w+) [0-9a-f]{6}\]", r"<\1>", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Late again.", "Late again."),
        ("", ""),
        ("Write to bo.ta@mail.example now", "Write to <email> now"),
        ("bo@localhost is mine", "<email> is mine"),
        ("It is bo.ta at mail dot com", "It is <email>"),
        ("It is b\u200bo@mail\u200b.com!", "It is <email>!"),
        ("It is bo＠mail．com", "It is <email>"),
        ("'o'brien+x@mail.com' or ?to=bo@mail.com", "'<email>' or ?to=<email>"),
        ("bo&#64;mail.com, bo%40mail.com", "<email>, <email>"),
        ("Login from 10.20.30.40, version 1.2.3", "Login from <id>, version 1.2.3"),
        ("My name is Jose\u0301 Mu\u0308ller and I left", "My name is <name> and I left"),
        ("Ich heisse Bolena Tarvik", "Ich heisse <name>"),
        ("Two: a.b@c.de,d.e@f.gh", "Two: <email>,<email>"),
        ("Card 4111 1111 1111 1112 failed", "Card <card> failed"),  # with a slip
        ("social security 078-05-1120", "social security <id>"),
        ("my order number is AB-12345", "my order number is <id>"),
        ("my order was late", "my order was late"),
        ("Hi Support, it is 12:30", "Hi Support, it is 12:30"),
        ("I owe you 12345 euro", "I owe you 12345 euro"),
    ],
)
def test_what_is_personal_becomes_a_placeholder(redactor, text, expected):
    assert plain(redactor(text)) == expected


@pytest.mark.parametrize(
    "written",
    [
        ["bo@mail.example", "bo @ mail.example", "bo (at) mail.example", "bo at mail dot example",
         "BO@MAIL.EXAMPLE", "b\u200bo@mail.example", "bo＠mail．example", "bo [at] mail [dot] example"],
        ["212-555-0123", "212.555.0123", "(212) 555-0123", "+1 212 555 0123"],
        ["My name is José Müller.", "My name is Jose\u0301 Mu\u0308ller."],
    ],
)  # fmt: skip
def test_one_person_in_all_spellings_has_one_placeholder(redactor, written):
    found = {re.search(r"\[\w+ [0-9a-f]{6}\]", redactor(text))[0] for text in written}
    assert len(found) == 1


@pytest.mark.parametrize("unit", ["a", "a.", "a'", "von ", "A.", "1a"])
def test_a_cell_of_one_long_word_is_not_gone_through_from_each_of_its_letters(redactor, unit):
    """Where it is, this does not end in minutes."""
    assert plain(redactor(unit * 30_000 + " bo@mail.example")).endswith(" <email>")


def test_the_same_person_has_the_same_placeholder(redactor):
    one, other = redactor("My name is Bolena Tarvik."), redactor("Dear Bolena  Tarvik, why?")
    assert one.split("[")[1][:11] == other.split("[")[1][:11]
    assert redactor("a@b.com") == redactor("A@B.com") != redactor("a@c.com")
    assert redactor("+44 20 7946 0018") == redactor("020 7946 0018")
    assert len({Redactor(salt)("a@b.com") for salt in (b"", b"a" * 16, b"b" * 16)}) == 3
    assert Redactor(b"a" * 16)("a@b.com") == Redactor(b"a" * 16)("a@b.com")


def test_spans_that_overlap_become_one(monkeypatch):
    found = [Span(2, 9, "id"), Span(4, 6, "phone"), Span(8, 14, "email"), Span(14, 15, "card")]
    monkeypatch.setattr("promptpredict.redaction.recognisers", lambda: [lambda _: iter(found)])
    # the id is longer than either of those that it meets
    assert Redactor().find("x" * 20) == [Span(2, 14, "id"), Span(14, 15, "card")]


def test_a_text_of_a_cell_is_looked_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "promptpredict.redaction.recognisers", lambda: [lambda text: asked.append(text) or iter(())]
    )
    redactor = Redactor()
    assert [redactor("two years") for _ in range(3)] == ["two years"] * 3
    assert asked == ["two years"]


@pytest.mark.parametrize(
    "text", ["\u200b", "\u200b\u200b\u200b", "ﬁ" * 40 + "a@b.com", "ẞ@ß.com", "𝐚@𝐛.com"]
)
def test_odd_characters_are_no_fault(redactor, text):
    assert "@" not in redactor(text)


def test_digits_are_what_a_telephone_number_needs():
    (phone,) = [find for find in recognisers() if find("Call +44 20 7946 0018")
                and [s.kind for s in find("Call +44 20 7946 0018")] == ["phone"]][:1]  # fmt: skip
    assert list(phone("Call me")) == []


def test_every_pattern_is_a_pattern():
    import regex

    for kind, each in patterns.PATTERNS.items():
        assert kind in (*KINDS, "digits")
        for text, _ in each:
            regex.compile(text)


# -- what is not installed, what cannot be read --------------------------------------------------


def test_without_presidio_that_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(DataError) as error:
        Redactor()
    assert str(error.value) == (
        "--redact needs presidio-analyzer, which is not installed; possible: "
        "pip install 'promptpredict[private]'"
    )


def test_a_salt_comes_from_a_file_and_is_long(tmp_path):
    path = tmp_path / "salt"
    with pytest.raises(DataError) as error:
        read_salt(str(path))
    assert str(error.value) == f"--salt-file {path} cannot be read (No such file or directory)"
    path.write_text("short\n")
    with pytest.raises(
        DataError, match=rf"--salt-file {path} holds 5 bytes; 16 or more are needed"
    ):
        read_salt(str(path))
    path.write_bytes(b"0123456789abcdef\n")
    assert read_salt(str(path)) == b"0123456789abcdef"
    assert private(redact=False, salt_file=str(path)) == Private(None, b"0123456789abcdef")


def test_a_salted_id_is_that_of_its_salt():
    import hashlib
    import hmac

    salt = b"0123456789abcdef"
    assert salted("c1", salt) == hmac.new(salt, b"c1", hashlib.sha256).hexdigest()[:32]
    assert Private(None, salt).id("") == ""  # a missing id stays missing
    assert OPEN.id("c1") == "c1"


# -- at the door ---------------------------------------------------------------------------------


def test_records_are_read_without_personal_data_and_with_salted_ids(tmp_path, redactor):
    path = tmp_path / "t.csv"
    path.write_text(
        "id,mail,note,left\nbo@x.com,bo@x.com,Dear Bolena Tarvik,1\nc2,none,ok,a@b.com\nc3,x\n"
    )
    roles = Roles(id="id", target="left", text=("note",))
    salt = b"0123456789abcdef"
    (block,) = read_blocks(path, roles, Reading(private=Private(redactor, salt)), keep=["mail"])
    first, second = block.records
    assert first.id == salted("bo@x.com", salt)
    assert {column: plain(value) for column, value in first.values.items()} == {
        "id": salted("bo@x.com", salt), "mail": "<email>", "note": "Dear <name>",
    }  # fmt: skip
    assert second.label == "a@b.com"  # which no prompt shows
    assert block.kept[0] == {"mail": "bo@x.com"}  # asked for as it is written
    assert block.rejects[0].reason == "line 4: the header has 4 cells, this row 2"


MAIL = "bolena.tarvik@mail.example"
HIDDEN = ("bolena", "tarvik", "mail.example")


def test_a_planted_address_reaches_no_prompt_no_ledger_no_log_and_no_report(
    fakes, capsys, monkeypatch
):
    """In a text, in a field, in a label that is none, in a row that cannot be read."""
    rows = [
        f"{MAIL},1,angry sad {MAIL}", f"8,{MAIL},happy", f"9,,My name is Bolena Tarvik {MAIL}",
        f"10,1,[unscorable] {MAIL}", f"11,{MAIL}",
    ]  # fmt: skip
    table("customers.csv", HEADER, rows)
    table("train.csv", TRAIN_HEADER, [*TRAIN, f"t99,1,angry {MAIL},1"])
    Path("salt").write_text("0123456789abcdef")
    summary, said = score(
        fakes,
        redact=True,
        salt_file="salt",
        train="train.csv",
        shots=4,
        select="random",
        keep_prompts=True,
    )
    assert summary.rows == 5
    assert any(line.startswith("--redact finds names by patterns alone") for line in said)
    assert summary.rejected >= 2
    assert len(fakes.texts()) > 4
    seen = [
        *fakes.texts(),
        *said,
        summary.line(),
        json.dumps(summary.fields()),
        *capsys.readouterr(),
    ]
    for path in Path().glob("scores.csv*"):
        seen.append(path.read_bytes().decode("latin-1"))
    with sqlite3.connect("scores.csv.ledger") as file:
        seen += map(str, file.iterdump())
    for text in seen:
        assert not any(part in text.lower() for part in HIDDEN), text
    assert "[email " in "".join(fakes.texts())


def test_amounts_of_many_digits_are_no_ids(fakes):
    """What is learned from is not redacted; no prompt shows it."""
    write(
        "p.jinja",
        PROMPT.replace("binary", "regression")
        .replace("labels: {1: [angry, sad], 0: happy}", "bins: {words: [sad, fine, happy]}")
        .replace("positive: 1\n", ""),
    )
    rows = [f"t{n},{n},told {n},{1_501_000 + n}" for n in range(24)]
    table("train.csv", TRAIN_HEADER, rows)
    score(fakes, train="train.csv")
    open_ = Path("scores.csv").read_bytes()
    score(fakes, train="train.csv", redact=True)
    assert Path("scores.csv").read_bytes() == open_


@pytest.mark.parametrize("redact", [False, True])
def test_check_shows_no_cell_that_is_personal(fakes, redact):
    write("f.jinja", PROMPT.replace("{unit: EUR, format", "{format"))
    cells = {HEADER: f"1,call {MAIL},angry", f"{HEADER},left": f"1,1,angry,{MAIL}"}
    for header, row in cells.items():
        table("customers.csv", header, [row])
        with pytest.raises(DataError) as error:
            check_file(CheckOptions(prompt="f.jinja", customers="customers.csv", redact=redact))
        assert (MAIL in str(error.value)) is not redact
        assert ("[email " in str(error.value)) is redact


def test_an_error_in_the_events_does_not_show_a_cell(fakes):
    given = {"events": "ev.csv", "as_of": "2026-06-01", "events_time": "when"}
    for cells, found in {
        f"call {MAIL},1": "row 1: column 'when' holds 'call [email ",
        f"2026-01-01,owed to {MAIL}": "row 1: column 'paid' holds 'owed to [email ",
    }.items():
        table("ev.csv", "id,when,paid", [f"007,{cells}"])
        with pytest.raises(DataError) as error:
            score(fakes, redact=True, events_amount="paid", **given)
        assert found in str(error.value)


def test_a_prompt_that_names_the_id_shows_it_salted(fakes):
    write("p.jinja", PROMPT.replace("{{ customer.feedback }}", "{{ customer.id }} said"))
    write("salt", "0123456789abcdef0123")
    score(fakes, salt_file="salt")
    assert f"{column('id')[0]} said" in fakes.lm.asked[0].user
    assert "007" not in "".join(fakes.texts())


def test_a_label_that_is_personal_is_no_part_of_the_error(fakes):
    table("train.csv", TRAIN_HEADER, [*TRAIN, f"t99,1,angry,{MAIL}"])
    with pytest.raises(DataError) as error:
        score(fakes, redact=True, train="train.csv", shots=4)
    assert "column 'left' holds '[email " in str(error.value)
    assert MAIL not in str(error.value)
