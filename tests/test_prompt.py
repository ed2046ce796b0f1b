"""The prompt file: whole prompts against tests/golden, joiner, labels, columns, bins."""

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from promptpredict.errors import DataError, PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.rendered import Bin, Prompt, Turn
from promptpredict.shipped import copy, names
from promptpredict.spacing import joiner
from promptpredict.template import Blocks

GOLDEN = Path(__file__).parent / "golden"
DESIGN = """---
task: binary                  # binary | multiclass | regression
target: is_churn              # holds the outcome; can never be rendered
labels:                       # value in the data: the word scored for it, or several
  1: [angry, disappointed]
  0: [happy, satisfied]
positive: 1
id: customer_id
text: [feedback_text]         # what the customer wrote
ignore: [cancelled_on]        # must never reach the model: leaks, names
base_rate: 0.12               # optional: the known share of positives
fields:                       # optional: how a column reads
  order_amount: {name: "Average order", unit: "USD", format: ".2f"}
panel:                        # optional: side questions, each gives one log-odds
  price:
    question: "Was the price fair or high?"
    answer: "The price was"
    words: ["high", "fair"]   # for, against
---
{% block system %}You judge how customers of an online shop feel about it.{% endblock %}
{% block customer %}
{% for field in customer.fields %}
{{ field.name }}: {{ field.value }}
{% endfor %}
Feedback: {{ customer.feedback_text }}
{% endblock %}
{% block question %}Summarize how the customer feels in one word.{% endblock %}
{% block answer %}The customer feels{% endblock %}
"""
HEADER = ["customer_id", "order_amount", "num_purchases", "plan", "feedback_text", "is_churn"]
LATE = Record(
    3,
    "c-3",
    {
        "customer_id": "c-3",
        "order_amount": 29.5,
        "num_purchases": 12,
        "plan": None,
        "feedback_text": "Late again.\nNobody answers {{ my }} mails.",
    },
    label="1",
)
FINE = Record(
    4,
    "c-4",
    {
        "customer_id": "c-4",
        "order_amount": 100,
        "num_purchases": 1,
        "plan": "yearly",
        "feedback_text": "All fine.",
    },
    label="0",
)
CHINESE = """---
task: binary
target: 流失
labels: {1: 失望, 0: 满意}
positive: 1
text: [评价]
---
{% block system %}你判断网店的顾客感受如何。{% endblock %}
{% block customer %}评价：{{ customer["评价"] }}{% endblock %}
{% block question %}用一个词概括顾客的感受。{% endblock %}
{% block answer %}顾客感到{% endblock %}
"""


def child(text: str, folder: Path) -> PromptFile:
    (folder / "parent.jinja").write_text(DESIGN, encoding="utf-8")
    (folder / "child.jinja").write_text(text, encoding="utf-8")
    return PromptFile.load(folder / "child.jinja")


def design(**replacements: str) -> PromptFile:
    text = DESIGN
    for old, new in replacements.items():
        text = text.replace(old, new)
    return PromptFile.from_text(text, name="p.jinja")


def as_text(prompt: Prompt) -> str:
    parts = [f"[system]\n{prompt.system}"]
    for turn in prompt.shots:
        parts.append(f"[user]\n{turn.user}\n[assistant]\n{turn.reply}")
    return "\n".join([*parts, f"[user]\n{prompt.user}", f"[assistant]\n{prompt.answer}|\n"])


def assert_golden(prompt: Prompt, name: str) -> None:
    assert as_text(prompt) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_the_example_of_the_design():
    found = design()
    assert (found.needed, found.uses_fields, found.warnings) == (("feedback_text",), True, [])
    assert found.words == {"1": ["angry", "disappointed"], "0": ["happy", "satisfied"]}
    assert_golden(found.render(LATE, [FINE]), "design_example")


def test_a_child_that_overrides_one_block(tmp_path):
    text = "{% extends 'parent.jinja' %}\n{% block question %}Will they come back?{% endblock %}"
    assert_golden(child(text, tmp_path).render(LATE), "child_block")


def test_a_child_that_calls_super(tmp_path):
    text = (
        "{% extends 'parent.jinja' %}\n"
        "{% block customer %}Purchases: {{ customer.num_purchases }}\n{{ super() }}{% endblock %}"
    )
    found = child(text, tmp_path)
    assert found.needed == ("num_purchases", "feedback_text")
    assert_golden(found.render(LATE), "child_super")


def test_partial_front_matter(tmp_path):
    text = (
        "---\nlabels: {0: stay, 1: leave}\nmissing: unknown\n"
        "fields:\n  num_purchases: {name: Purchases}\n---\n"
        "{% extends 'parent.jinja' %}{% block answer %}They will{% endblock %}"
    )
    found = child(text, tmp_path)
    assert found.front.base_rate == 0.12
    assert_golden(found.render(LATE, [FINE]), "partial_front")


def test_a_chinese_file_has_nothing_between_answer_and_word():
    found = PromptFile.from_text(CHINESE)
    shot = Record(1, "", {"评价": "发货太慢。"}, label="1")
    assert_golden(found.render(Record(2, "", {"评价": None}), [shot]), "chinese")


def test_a_file_without_answer():
    found = design(**{"{% block answer %}The customer feels{% endblock %}\n": ""})
    assert_golden(found.render(LATE, [FINE]), "no_answer")


def test_an_answer_that_ends_in_a_quote():
    found = design(**{"The customer feels{%": 'In one word: " {%'})
    assert_golden(found.render(LATE, [FINE]), "quote_answer")


def test_layout_one_folds_the_shots_into_the_user_turn():
    found = design(**{"positive: 1\n": "positive: 1\nlayout: one\n"})
    assert_golden(found.render(LATE, [FINE, LATE]), "layout_one")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "panel:                        # optional: side questions, each gives one log-odds\n  price:\n",
            "panel:\n  high: {question: Was the price fair or high?, words: [high, fair]}\n  price:\n",
            "p.jinja, line 15: expected ',' or '}', but got '?'; put it in quotes",
        ),
        ("positive: 1", "target: is_churn", "p.jinja, line 7: duplicate key 'target' (first on line 3)"),
        (
            "Feedback:",
            "{% set c = customer %}\nFeedback:",
            "p.jinja, line 25: 'customer' may be used only as customer.fields, customer.NAME or customer[\"NAME\"]",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(old, new, text):
    with pytest.raises(PromptError) as caught:
        design(**{old: new})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("answer", "word", "between"),
    [
        ("The customer feels", "angry", " "),
        ("The customer feels ", "angry", " "),
        ("", "angry", ""),
        ("  ", "angry", ""),
        ('She said "', "angry", ""),
        ('She said "so" and', "angry", " "),
        ('She said "so"', "angry", " "),
        ("She said '", "angry", ""),
        ("The customers'", "angry", " "),
        ("It is `", "angry", ""),
        ("(“", "angry", ""),
        ("She said “so”", "angry", " "),
        ("«", "angry", ""),
        ("The mood (", "angry", ""),
        ("The mood (now)", "angry", " "),
        ("The mood [", "angry", ""),
        ("「", "angry", ""),
        ("It costs $", "12", ""),
        ("It costs €", "12", ""),
        ("It costs 12 £", "x", ""),
        ("The mood:", "angry", " "),
        ("顾客感到", "失望", ""),
        ("顾客的感受：", "失望", ""),
        ("顾客感到", "OK", " "),
        ("The customer feels", "失望", " "),
        ("お客様は", "うれしい", ""),
        ("お客様ハ", "ウレシイ", ""),
        ("고객은", "만족", ""),
        ("ลูกค้ารู้สึก", "พอใจ", ""),
        ("Kundin ist", "überzeugt", " "),
        ("Клиент", "доволен", " "),
    ],
)
def test_joiner(answer, word, between):
    assert joiner(answer, word, None) == between
    assert joiner(answer, word, "") == ""
    assert joiner(answer, word, " ") == " "


@pytest.mark.parametrize("value", [1, 1.0, "1", " 1.0 ", True, "true", "TRUE"])
def test_a_label_is_found_by_any_of_its_spellings(value):
    assert design().label_of(value) == "1"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2, "column 'is_churn' holds '2'; the labels of p.jinja are 'Yes', 'No'"),
        ("yes", "column 'is_churn' holds 'yes' (nearest: 'Yes'); the labels of p.jinja are 'Yes', 'No'"),
        (None, "column 'is_churn' holds no value; the labels of p.jinja are 'Yes', 'No'"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_label_is_refused(value, text):
    found = design(**{"  1:": "  Yes:", "  0:": "  No:", "positive: 1": "positive: Yes"})
    with pytest.raises(DataError) as caught:
        found.label_of(value)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("absent", "labelled", "text"),
    [
        ("feedback_text", False, "p.jinja needs column 'feedback_text'; t.csv has no such column; it has customer_id, order_amount, num_purchases, plan, is_churn"),
        ("customer_id", False, "p.jinja needs column 'customer_id' (its id); t.csv has no such column; it has order_amount, num_purchases, plan, feedback_text, is_churn"),
        ("is_churn", True, "p.jinja needs column 'is_churn' (its target); t.csv has no such column; it has customer_id, order_amount, num_purchases, plan, feedback_text"),
        ("order_amount", False, "p.jinja needs column 'order_amount' (its fields); t.csv has no such column; it has customer_id, num_purchases, plan, feedback_text, is_churn"),
    ],
)  # fmt: skip
def test_a_column_that_the_table_lacks_is_named(absent, labelled, text):
    header = [column for column in HEADER if column != absent]
    with pytest.raises(DataError) as caught:
        design().check_columns(header, "t.csv", labelled=labelled)
    assert str(caught.value) == text


def test_a_misspelt_column_is_answered_with_the_nearest():
    with pytest.raises(DataError) as caught:
        design(**{"customer.feedback_text": "customer.feedbak_text"}).check_columns(HEADER, "t.csv")
    assert str(caught.value) == (
        "p.jinja needs column 'feedbak_text'; t.csv has no such column (nearest: 'feedback_text')"
    )


def test_the_target_and_ignored_columns_may_be_absent():
    found = design(**{"order_amount: {": "is_churn: {"})
    found.check_columns(HEADER[:-1], "t.csv")
    assert found.warnings == []


def test_an_ignored_column_that_is_nearly_there_is_a_warning():
    found = design()
    for _ in range(2):
        found.check_columns([*HEADER, "canceled_on"], "t.csv")
    assert found.warnings == [
        "p.jinja ignores 'cancelled_on', which t.csv does not have (nearest: 'canceled_on')"
    ]


def test_a_text_column_that_no_block_shows_is_a_warning():
    found = design(**{"text: [feedback_text]": "text: [feedback_text, mail]"})
    assert found.warnings == ["p.jinja: no block shows the text column 'mail'"]


def test_the_target_and_ignored_columns_are_never_rendered():
    secret = {"is_churn": "canary-1", "cancelled_on": "canary-2"}
    record = Record(3, "canary-3", {**LATE.values, **secret, "customer_id": "canary-3"}, label="1")
    prompt = design().render(record, [record])
    assert "canary" not in as_text(prompt)
    assert "canary" not in design().render_customer(record)


def test_no_prompt_shows_what_tables_leave_behind():
    values = {
        "customer_id": "c",
        "order_amount": None,
        "num_purchases": 12,
        "share": 0.1 + 0.2,
        "since": date(2024, 3, 1),
        "feedback_text": None,
    }
    blocks = (
        "{{ customer.num_purchases / 1 ~ '' }} {{ customer.share | round }} {{ customer.since }} "
        "{{ customer.order_amount ~ '' }} {{ [customer.order_amount, 12.0 * 1] | join }}\nFeedback:"
    )
    text = as_text(design(**{"Feedback:": blocks}).render(Record(1, "c", values)))
    assert not re.search(r"\bnan\b|None|NaT|<NA>|\d\.0\b", text)
    assert (
        "order: not recorded\nnum_purchases: 12\nshare: 0.3\nsince: 2024-03-01\n12 0 2024" in text
    )


def test_a_format_that_does_not_suit_a_value_names_the_row_and_the_column():
    record = Record(9, "c", {**LATE.values, "order_amount": "much"})
    with pytest.raises(DataError) as caught:
        design().render(record)
    assert str(caught.value) == (
        "p.jinja, row 9, column 'order_amount': the format '.2f' does not suit the value 'much' "
        "(Unknown format code 'f' for object of type 'str')"
    )


def test_a_shot_needs_a_label():
    with pytest.raises(DataError) as caught:
        design().render(LATE, [Record(8, "c", FINE.values)])
    assert str(caught.value) == (
        "row 8: column 'is_churn' holds no value; the labels of p.jinja are '1', '0'"
    )


def test_the_panel_asks_in_place_of_the_question():
    prompt = design().render_panel(LATE, "price", drop_words=5)
    assert (prompt.shots, prompt.n_words, prompt.answer) == ((), 3, "The price was")
    assert prompt.user.endswith("Feedback: my }} mails.\nWas the price fair or high?")
    assert prompt.shrink(0, 2).user.endswith("Feedback: mails.\nWas the price fair or high?")


def test_a_customer_is_rendered_once_for_all_questions(monkeypatch):
    rendered = []
    render = Blocks.render

    def counted(self, parts, *given, **more):
        rendered.append(tuple(parts))
        return render(self, parts, *given, **more)

    monkeypatch.setattr(Blocks, "render", counted)
    file = design()
    prompts = [file.render_panel(LATE, name) for name in [*file.front.panel, *file.front.panel]]
    assert len(prompts) > 1
    assert rendered == [("system", "customer")]
    file.render_panel(LATE, "price", drop_words=1)
    file.render_panel(Record(9, "c", LATE.values), "price")
    assert len(rendered) == 3, "fewer words, or another record of the same values, is another text"


def test_a_prompt_can_lose_its_first_shots_and_its_first_words():
    prompt = design().render(LATE, [FINE, LATE], drop_words=1)
    assert (prompt.n_shots, prompt.n_words) == (2, 7)
    less = prompt.shrink(1, 6)
    assert less == design().render(LATE, [LATE], drop_words=7)
    assert "Feedback: mails.\n" in less.user


def test_the_customer_alone():
    assert design().render_customer(FINE) == (
        "Average order: 100.00 USD\nnum_purchases: 1\nplan: yearly\nFeedback: All fine."
    )


@pytest.mark.parametrize(
    ("drop", "shown"),
    [(0, "a  b\nc|x y"), (1, "b\nc|x y"), (3, "|x y"), (4, "|y"), (5, "|"), (9, "|")],
)
def test_words_are_left_out_oldest_first(drop, shown):
    text = CHINESE.replace("text: [评价]", "text: [old, new, gone]").replace(
        '{{ customer["评价"] }}', "{{ customer.old }}|{{ customer.new }}|{{ customer.gone }}"
    )
    found = PromptFile.from_text(text)
    record = Record(1, "", {"old": "a  b\nc", "new": "x y", "gone": None})
    assert found.text_words(record) == 5
    assert found.render(record, drop_words=drop).user.startswith(f"评价：{shown}|not recorded\n")


def test_a_script_without_spaces_is_cut_by_its_characters():
    found = PromptFile.from_text(CHINESE)
    record = Record(1, "", {"评价": "发货 late 慢"})
    assert found.text_words(record) == 4
    assert found.render(record, drop_words=1).user.startswith("评价：货 late 慢\n")


REGRESSION = """---
task: regression
target: spend
fields: {spend: {unit: EUR, format: ",.0f"}}
bins: {words: [low, medium, high], edges: [0, 10, 1e3, 2500.5]}
---
{% block system %}S{% endblock %}
{% block customer %}{{ customer.a }}{% endblock %}
{% block question %}{% for b in bins %}{{ b.word }}: {{ b.low }} to {{ b.high }} = {{ b.formatted }}; {% endfor %}{{ labels | join(", ") }}?{% endblock %}
"""


def test_a_regression_shows_its_bins():
    found = PromptFile.from_text(REGRESSION)
    assert found.words == {"low": ["low"], "medium": ["medium"], "high": ["high"]}
    assert found.bins()[0] == Bin("low", 0, 10, "0 EUR to 10 EUR")
    assert found.render(Record(1, "", {"a": 1})).user == (
        "1\nlow: 0 to 10 = 0 EUR to 10 EUR; medium: 10 to 1000 = 10 EUR to 1,000 EUR; "
        "high: 1000 to 2500.5 = 1,000 EUR to 2,500 EUR; low, medium, high?"
    )


@pytest.mark.parametrize(
    ("value", "word"),
    [("-5", "low"), ("9.9", "low"), ("10", "medium"), ("1000", "high"), ("9000", "high")],
)
def test_a_target_falls_into_a_bin(value, word):
    found = PromptFile.from_text(REGRESSION)
    assert found.label_of(value) == word
    shot = Record(2, "", {"a": 2}, label=value)
    turn = found.render(Record(1, "", {"a": 1}), [shot]).shots[0]
    assert turn == Turn(turn.user, word)


def test_bins_need_edges():
    found = PromptFile.from_text(REGRESSION.replace(", edges: [0, 10, 1e3, 2500.5]", ""), name="p")
    assert found.bins() == ()
    with pytest.raises(PromptError) as caught:
        found.render(Record(1, "", {"a": 1}))
    assert str(caught.value) == (
        "p: a block shows 'bins', which need 'bins.edges', or edges from labelled records"
    )
    cut = found.with_edges([1.0, 2.0, 3.0, 4.0])
    assert "low: 1 to 2 = 1 EUR to 2 EUR;" in cut.render(Record(1, "", {"a": 1})).user
    with pytest.raises(PromptError) as unknown:
        found.label_of("3")
    assert str(unknown.value) == "p: a target has no bin without 'bins.edges'"


def test_a_target_that_is_no_number_has_no_bin():
    with pytest.raises(DataError) as caught:
        PromptFile.from_text(REGRESSION).label_of("much")
    assert str(caught.value) == "column 'spend' holds 'much', which is not a number"


def test_a_file_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.jinja").write_text("---\ntask: x\n---\n", encoding="utf-8")
    with pytest.raises(PromptError) as caught:
        PromptFile.load("p.jinja")
    assert str(caught.value) == (
        "p.jinja, line 2: 'task' must be 'binary', 'multiclass' or 'regression', got 'x'"
    )


def test_a_file_is_the_same_however_its_path_is_typed(tmp_path, monkeypatch):
    """A calibration that was found with it may be used from another folder."""
    monkeypatch.chdir(tmp_path)
    Path("mine.jinja").write_text(DESIGN, encoding="utf-8")
    own = PromptFile.load("mine.jinja").fingerprint
    assert PromptFile.load("./mine.jinja").fingerprint == own
    assert PromptFile.load(str(tmp_path / "mine.jinja")).fingerprint == own
    Path("mine.jinja").write_text(DESIGN.replace("angry", "furious"), encoding="utf-8")
    assert PromptFile.load("mine.jinja").fingerprint != own


def test_what_no_prompt_shows_makes_no_other_file():
    """A calibration and an adapter of before are as good with another base rate."""
    changed = DESIGN.replace("base_rate: 0.12", "base_rate: 0.2").replace(
        "---\n", "---\nversion: 2\n", 1
    )
    own, other, none = (
        PromptFile.from_text(text, name="p.jinja")
        for text in (DESIGN, changed, DESIGN.replace("base_rate: 0.12", ""))
    )
    assert (own.front.base_rate, other.front.base_rate, none.front.base_rate) == (0.12, 0.2, None)
    assert own.fingerprint == other.fingerprint == none.fingerprint


def test_a_file_must_be_utf_8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.jinja").write_bytes("task: zufällig".encode("latin-1"))
    with pytest.raises(PromptError) as caught:
        PromptFile.load("p.jinja")
    assert str(caught.value) == "p.jinja is not UTF-8 text (byte 10)"


def test_a_copy_beside_us_goes_before_the_shipped_file(tmp_path, monkeypatch):
    """Else the command of before would go on with the wording of before, edited or not."""
    monkeypatch.chdir(tmp_path)
    shipped = PromptFile.load("churn-shop")
    copied = copy("churn-shop", tmp_path)
    copied.write_text(copied.read_text().replace("in one word", "in a word"))
    edited = PromptFile.load("churn-shop")
    assert edited.path == copied
    assert edited.fingerprint != shipped.fingerprint
    assert PromptFile.load("churn-shop.jinja").fingerprint == edited.fingerprint


def test_a_name_that_is_nothing_is_answered_with_the_shipped_ones():
    with pytest.raises(PromptError) as caught:
        PromptFile.load("churn-shp")
    assert str(caught.value) == (
        "no prompt file 'churn-shp' (nearest: 'churn-shop'); it is neither a file nor one of the "
        f"shipped: {', '.join(each.name for each in names())}"
    )


def test_nothing_heavy_is_imported():
    heavy = "{'torch', 'transformers', 'pandas', 'numpy', 'pyarrow', 'sklearn', 'scipy'}"
    code = f"import sys, promptpredict.prompt; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
