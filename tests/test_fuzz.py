"""Random tables, prompt files and texts: no traceback, no row lost, no score of another row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzed
from conftest import build_tokenizer
from promptpredict.encoding import Encoder
from promptpredict.errors import PromptError
from promptpredict.prompt import PromptFile
from walked import HEADER, PROMPT, rejects, score

QUICK = settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "angry", "happy happy", "1", "-0.5", "1e400", "nan", "inf", "2024-02-30", "007",
                     '"', "'", ",", "\r", "\n", "\u2028", "\ufeff", "None", "null", "=1+1", "[unscorable]"]),
    st.integers(-(10**25), 10**25).map(str),
)  # fmt: skip
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=20)


def as_csv(rows, *, header=("a", "b", "c"), delimiter=","):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


# -- tables --------------------------------------------------------------------------------------


@QUICK
@given(st.binary(max_size=400), st.sampled_from(fuzzed.ENDINGS))
def test_any_bytes_are_a_table_or_a_line(data, ending):
    fuzzed.table(data, ending)


@QUICK
@given(ROWS, st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-16", "cp1252"]))
def test_csv_of_any_cells_keeps_its_rows(rows, delimiter, encoding):
    data = as_csv(rows, delimiter=delimiter).encode(encoding, "ignore")
    fuzzed.table(data, ".csv")
    assert fuzzed.table(gzip.compress(data), ".csv.gz") == fuzzed.table(data, ".csv")


@QUICK
@given(st.binary(max_size=30), ROWS, st.integers(0, 400))
def test_a_table_with_a_piece_of_something_else_in_it(piece, rows, at):
    data = as_csv(rows).encode("utf-8", "surrogatepass")
    fuzzed.table(data[:at] + piece + data[at:], ".csv")
    lines = "\n".join(json.dumps(dict(zip("abc", row, strict=True))) for row in rows).encode()
    fuzzed.table(lines[:at] + piece + lines[at:], ".jsonl")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@QUICK
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c d", ""]), JSON), max_size=12))
def test_json_lines_of_anything_keep_their_rows(objects):
    found = fuzzed.table("\n".join(map(json.dumps, objects)).encode(), ".jsonl")
    assert found in (0, len(objects))


@pytest.mark.slow
@QUICK
@given(ROWS)
def test_every_customer_of_a_csv_is_scored_by_its_own_text(fakes, rows):
    """The stand-in counts a text's words, so that a score of another row would be another number."""
    rows = [[f"c{number}", *row[1:]] for number, row in enumerate(rows)]
    Path("customers.csv").write_text(
        as_csv(rows, header=HEADER.split(",")), encoding="utf-8", errors="replace", newline=""
    )
    summary, _ = score(fakes)
    with open("scores.csv", encoding="utf-8", newline="") as file:
        found = {row["id"]: row for row in csv.DictReader(file)}
    # of a row that cannot be read the id is not known either
    lost = {f"c{each['row'] - 1}" for each in rejects()} if summary.rejected else set()
    assert summary.rows == len(rows) == len(found) + len(lost)
    for id, amount, text in rows:
        if id in found:
            shown = re.findall(r"\w+", f"{amount} {text}".lower())
            odds = shown.count("angry") + shown.count("sad") - shown.count("happy")
            assert abs(float(found[id]["p_1"]) - 1 / (1 + 2.718281828459045**-odds)) < 1e-6
        else:
            assert id in lost


# -- prompt files --------------------------------------------------------------------------------


@QUICK
@given(st.text(max_size=300))
def test_any_text_is_a_prompt_file_or_a_line(text):
    fuzzed.prompt_file(text)
    fuzzed.prompt_file(f"---\n{text}\n---\n{{% block customer %}}x{{% endblock %}}")
    fuzzed.prompt_file(PROMPT.replace("{{ field.name }}", text))


PIECES = ("{%", "%}", "{{", "}}", "{#", "#}", "---\n", ": ", "[", "]", "|", "(", ")", "'", '"', "\n", "  ",
          "block customer", "endblock", "if", "for", "extends", "include 'x'", "import", "super()", "self",
          "customer.__class__", "range(10)", "fields", "labels", "&a", "*a", "<<", "!!python/object",
          "~", "null", "1e3", "\t", "\0", "﻿", "é", "9**9**9", "'a' * 9999999999")  # fmt: skip


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, len(PROMPT)), st.integers(0, 12), st.sampled_from(PIECES)),
        max_size=4,
    )
)
def test_a_prompt_file_with_slips_in_it(slips):
    text = PROMPT
    for at, gone, piece in slips:
        text = text[:at] + piece + text[at + gone :]
    fuzzed.prompt_file(text)


FEEDBACK = "{{ customer.feedback }}"
DEEP = {
    "braces": (FEEDBACK, "{" * 300 + " }}"),
    "brackets": (FEEDBACK, "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}"),
    "filters": (FEEDBACK, "{{ 'a'" + "|upper" * 3000 + " }}"),
    "loops": (FEEDBACK, "{% for a in [1] %}" * 30 + "x" + "{% endfor %}" * 30),
    "blocks": (FEEDBACK, "".join(f"{{% block b{n} %}}" for n in range(300)) + "{% endblock %}" * 300),
    "a list": ("text: [feedback]", "text: " + "[" * 3000 + "feedback" + "]" * 3000),
    "keys": ("text: [feedback]", "text: " + "{a: " * 3000 + "feedback" + "}" * 3000),
}  # fmt: skip


@pytest.mark.parametrize("what", DEEP)
def test_what_is_nested_too_deeply_is_a_line(what):
    """The first was found by the fuzzer, after half an hour."""
    plain, deep = DEEP[what]
    text = PROMPT.replace(plain, deep)
    with pytest.raises(PromptError, match=r"is nested too deeply$"):
        PromptFile.from_text(text)


def test_a_template_that_calls_itself_is_a_line():
    text = PROMPT.replace(FEEDBACK, "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")
    assert fuzzed.prompt_file(text)


def test_the_prompt_file_without_slips_is_one():
    assert fuzzed.prompt_file(PROMPT)


# -- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma", "plain"])
def test_no_text_holds_a_control_token(family):
    encoder = Encoder(build_tokenizer(family), name=family)
    tokens = [token for token in encoder._controls if token]
    cut = [token[at:] for token in tokens for at in range(len(token))]
    cut += [token[:at] for token in tokens for at in range(1, len(token))]

    @QUICK
    @given(
        st.lists(
            st.sampled_from([*cut, *tokens, " ", "\n", "\u200b"]) | st.text(max_size=8), max_size=8
        )
    )
    def hold(parts):
        fuzzed.control_tokens(encoder, "".join(parts))

    hold()
