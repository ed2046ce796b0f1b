"""What is to be compared: which approach takes which budget, and what cannot be carried out."""

from __future__ import annotations

import pytest

from compared import PROMPT, prompt_file
from promptpredict.errors import DataError
from promptpredict.plans import (
    APPROACHES,
    BOTH,
    CHOICES,
    DEFAULT,
    PRIOR,
    STACKED,
    WITH_LM,
    WITHOUT_LM,
    Plan,
)

COLUMNS = "{% for field in customer.fields %}\n{{ field.name }}: {{ field.value }}\n{% endfor %}\n"


def test_the_names_of_approaches_are_on_one_side_or_the_other_but_for_those_that_join_both():
    assert not set(WITH_LM) & set(WITHOUT_LM)
    assert set(APPROACHES) == {*WITH_LM, *WITHOUT_LM, PRIOR, *BOTH}
    assert len(set(APPROACHES)) == len(APPROACHES)
    assert set(DEFAULT) <= set(APPROACHES)
    assert set(STACKED) <= {*WITH_LM, *WITHOUT_LM}
    assert list(CHOICES) == ["chosen-with-lm", "chosen-without-lm", "chosen-single"]
    assert list(CHOICES.values()) == [WITH_LM, WITHOUT_LM, (*WITH_LM, *WITHOUT_LM)]


# -- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"approaches": ("probe", "embeding")},
            "there is no approach 'embeding' (nearest: 'embedding'); possible: zero-shot, panel, "
            "probe, probe-shots, few-shot, few-shot-sets, few-shot-random, few-shot-nearest, tuned, embedding, text, "
            "fusion, fusion-mlp, fusion-trees, structured, structured-trees, prior, stack, cascade",
        ),
        (
            {"budgets_of": {"few-shot": (4,), "prob": (16,)}},
            "there is no approach 'prob' (nearest: 'probe'); possible: zero-shot, panel, probe, "
            "probe-shots, few-shot, few-shot-sets, few-shot-random, few-shot-nearest, tuned, embedding, text, fusion, "
            "fusion-mlp, fusion-trees, structured, structured-trees, prior, stack, cascade",
        ),
        (
            {"approaches": ("probe", "text"), "against": {"probe": ("text", "tuned")}},
            "differences from and to tuned are asked for, and it does not run; possible: probe, text",
        ),
        (
            {"approaches": ("probe", "text"), "against": {"prob": ("text",)}},
            "there is no approach 'prob' (nearest: 'probe'); possible: zero-shot, panel, probe, "
            "probe-shots, few-shot, few-shot-sets, few-shot-random, few-shot-nearest, tuned, embedding, text, fusion, "
            "fusion-mlp, fusion-trees, structured, structured-trees, prior, stack, cascade",
        ),
        ({"value_saved": 100.0}, "captured value needs --offer-cost too"),
        ({"offer_cost": 5.0}, "captured value needs --value-saved too"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_one_line(given, text):
    with pytest.raises(DataError) as error:
        Plan(**given).check()
    assert str(error.value) == text


def test_the_default_plan_and_a_price_with_its_cost_are_well():
    Plan().check()
    Plan(approaches=APPROACHES, value_saved=100, offer_cost=0).check()


# -- what is needed ----------------------------------------------------------------------------


@pytest.mark.parametrize("approach", [*WITH_LM, *WITHOUT_LM, PRIOR, *BOTH])
def test_a_language_model_is_needed_by_those_that_read_customers(approach):
    needing = (*WITH_LM, *BOTH)
    assert Plan(approaches=(approach,)).needs_lm is (approach in needing)
    assert Plan(approaches=("prior", approach)).needs_lm is (approach in needing)


def test_a_sentence_encoder_is_needed_by_embeddings_and_nearest_shots():
    needing = {name for name in APPROACHES if Plan(approaches=(name,)).needs_encoder}
    assert needing == {
        "embedding",
        "fusion",
        "fusion-trees",
        "fusion-mlp",
        "few-shot-nearest",
        "stack",
        "cascade",
    }
    assert Plan(approaches=("few-shot",), select="nearest").needs_encoder
    assert not Plan(approaches=("probe",), select="nearest").needs_encoder


# -- budgets -----------------------------------------------------------------------------------


def test_budgets_ascend_and_all_is_every_row_once():
    plan = Plan(budgets=("all", 64, 0, 16, 16))
    assert plan.budgets_in(100) == [0, 16, 64, 100]
    assert plan.budgets_in(64) == [0, 16, 64]


@pytest.mark.parametrize("rate", [None, 0.1])
def test_without_a_label_there_is_zero_shot_and_a_known_base_rate(rate):
    plan = Plan(base_rate=rate)
    takes = {name for name in APPROACHES if plan.takes(name, 0, 100)}
    assert takes == ({"zero-shot"} if rate is None else {"zero-shot", "prior"})


def test_with_few_labels_there_is_neither_stack_nor_cascade_nor_probe_with_shots_nor_tuning():
    plan = Plan()
    for budget, lacking in (
        (4, {"stack", "probe-shots", "tuned", "cascade"}),
        (15, {"stack", "probe-shots", "tuned", "cascade"}),
        (16, set()),
    ):
        takes = {name for name in APPROACHES if plan.takes(name, budget, 100)}
        assert takes == set(APPROACHES) - lacking


def test_budgets_of_narrows_single_approaches():
    plan = Plan(budgets_of={"few-shot": (4, "all"), "stack": (4, 64)})
    budgets = (0, 4, 16, 64, 100)
    assert [b for b in budgets if plan.takes("few-shot", b, 100)] == [4, 100]
    assert [b for b in budgets if plan.takes("stack", b, 100)] == [64]
    assert [b for b in budgets if plan.takes("few-shot-random", b, 100)] == [4, 16, 64, 100]
    assert [b for b in budgets if plan.takes("zero-shot", b, 100)] == [0, 4, 16, 64, 100]


# -- notes -------------------------------------------------------------------------------------


def notes(plan, approaches=("zero-shot", "prior"), rows=40, labels=2):
    return list(plan.left_out(approaches, rows, labels))


def test_budgets_that_cannot_be_drawn_are_named():
    assert notes(Plan(budgets=(0, 1, 4, 64, 1000))) == [
        "budget 1 is left out: there are 2 labels, and each needs a row",
        "budget 64 is left out: there are 40 training rows",
        "budget 1,000 is left out: there are 40 training rows",
    ]
    assert notes(Plan(budgets=(2, 40, "all"))) == []
    assert notes(Plan(budgets=(2, 3)), labels=3) == [
        "budget 2 is left out: there are 3 labels, and each needs a row"
    ]


def test_an_approach_that_no_budget_suits_is_named():
    plan = Plan(budgets=(0, 4, 1000), budgets_of={"probe": (16,)})
    assert notes(plan, ("probe", "stack", "prior")) == [
        "budget 1,000 is left out: there are 40 training rows",
        "probe is left out: no budget suits it",
        "stack is left out: no budget suits it",
    ]
    assert notes(Plan(budgets=(0,)), ("prior",)) == ["prior is left out: no budget suits it"]
    assert notes(Plan(budgets=(0,), base_rate=0.5), ("prior",)) == []


@pytest.mark.parametrize(
    ("rows", "approaches", "count"),
    [(199, ("zero-shot",), 1), (200, ("zero-shot",), 0), (199, ("prior",), 0)],
)
def test_a_base_rate_needs_rows_to_be_met(rows, approaches, count):
    found = notes(Plan(budgets=(0,), base_rate=0.1), approaches, rows)
    assert (
        found
        == [
            "zero-shot is not calibrated to the base rate: there are 199 training rows, and 200 are "
            "needed to find a shift on"
        ][:count]
    )


# -- what a prompt file can serve --------------------------------------------------------------


HELD = {"stays", "leaves"}  # the labels of the table


def usable(
    text, approaches=APPROACHES, columns=("id", "plan", "price", "feedback"), labels=HELD, **plan
):
    return Plan(approaches=approaches, **plan).usable(prompt_file(text), columns, labels)


@pytest.mark.parametrize(
    ("given", "budgets"),
    [
        ({}, [4, 8]),
        ({"shots": 4}, [4]),
        ({"select": "nearest"}, []),
        ({"approaches": ["probe"]}, []),
    ],
)
def test_where_all_labelled_rows_are_shots_few_shot_is_not_calibrated(given, budgets):
    plan = Plan(**{"approaches": ["few-shot", "probe"], "budgets": (0, 4, 8, 16)} | given)
    assert list(plan.left_out(plan.approaches, 100, 2)) == [
        f"few-shot is not calibrated at {budget} labels: all are its shots" for budget in budgets
    ]


def left_out(text, **given):
    kept, said = usable(text, **given)
    return sorted({*APPROACHES} - {*kept}), said


def test_a_file_with_columns_text_and_panel_serves_every_approach():
    assert usable(PROMPT) == (list(APPROACHES), [])


def test_without_a_panel_there_is_no_panel():
    panel = PROMPT[PROMPT.index("panel:") : PROMPT.index("---\n{%")]
    assert left_out(PROMPT.replace(panel, "")) == (
        ["panel"],
        ["panel is left out: p.jinja has no panel"],
    )


@pytest.mark.parametrize("text", ["text: []\n", ""])
def test_without_a_text_column_there_is_no_text(text):
    assert left_out(PROMPT.replace("text: [feedback]\n", text)) == (
        ["text"],
        [
            "text is left out: p.jinja has no text column that a block shows; possible: "
            "text: [COLUMN] in its front matter, and {{ customer.COLUMN }} in a block"
        ],
    )


STRUCTURED = ["fusion", "fusion-mlp", "fusion-trees", "structured", "structured-trees"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (PROMPT.replace(COLUMNS, ""), ("id", "plan", "feedback")),
        (PROMPT.replace(COLUMNS, "{{ customer.id }}"), ("id", "plan", "feedback")),
        (PROMPT, ("id", "feedback")),
    ],
    ids=["shows none", "shows the id", "the table has none"],
)
def test_where_no_column_but_text_is_shown_there_is_nothing_structured(text, columns):
    names, said = left_out(text, columns=columns)
    assert names == STRUCTURED
    assert said == [
        f"{name} is left out: p.jinja shows no column besides its id and its text; possible: "
        "customer.fields in a block, or {{ customer.COLUMN }}"
        for name in STRUCTURED
    ]


def test_a_column_shown_by_its_name_is_enough():
    assert left_out(PROMPT.replace(COLUMNS, "{{ customer.price }}")) == ([], [])


def test_approaches_named_twice_are_one_and_keep_their_order():
    assert usable(PROMPT, ("prior", "probe", "prior")) == (["prior", "probe"], [])


def test_balanced_shots_need_a_row_of_every_label_of_the_file():
    because = "is left out: no row has the label 'leaves', and balanced shots need every label"
    tuned = "tuned is left out: no row has the label 'leaves', and an adapter needs every label"
    assert left_out(PROMPT, labels={"stays"}) == (
        ["few-shot", "few-shot-sets", "probe-shots", "tuned"],
        [*(f"{name} {because}" for name in ("probe-shots", "few-shot", "few-shot-sets")), tuned],
    )
    for select in ("random", "nearest"):
        assert left_out(PROMPT, labels={"stays"}, select=select) == (
            ["probe-shots", "tuned"],
            [f"probe-shots {because}", tuned],
        )
    assert usable(PROMPT, ("prior", "probe"), labels={"stays"}) == (["prior", "probe"], [])


@pytest.mark.parametrize(
    ("approach", "budget", "shots", "expected"),
    [
        ("few-shot", 4, 16, (4,)),
        ("few-shot", 15, 16, (15,)),
        ("few-shot", 16, 16, (4, 16)),
        ("few-shot-nearest", 64, 8, (4, 8)),
        ("few-shot-random", 64, 40, (4, 16)),
        ("few-shot", 64, 4, (4,)),
        ("few-shot", 64, 3, (3,)),
        ("probe-shots", 64, 16, (4,)),
        ("probe", 64, 16, (0,)),
        ("zero-shot", 0, 16, (0,)),
    ],
)
def test_a_few_shots_or_as_many_as_there_may_be(approach, budget, shots, expected):
    assert Plan(shots=shots).counts(approach, budget) == expected


@pytest.mark.parametrize(
    "given",
    [{"budgets": (0, 4, 15)}, {"budgets_of": {"stack": ()}}],
    ids=["few labels", "no budget"],
)
def test_what_a_stack_joins_does_not_run_where_the_stack_cannot(given):
    plan = Plan(approaches=("text", "stack"), **given)
    assert (plan.wanted, plan.needs_lm, plan.needs_encoder) == (["text", "stack"], False, False)


ADDED = "zero-shot, probe, structured, structured-trees, text"


@pytest.mark.parametrize(
    ("approaches", "note"),
    [
        (("stack",), [f"stack joins {ADDED}, embedding too: they run as well"]),
        (("stack", "prior", "embedding"), [f"stack joins {ADDED} too: they run as well"]),
        ((*STACKED, "stack"), []),
        (("embedding", "text"), []),
    ],
)
def test_what_a_stack_joins_runs_as_well(approaches, note):
    names, notes = Plan(approaches=approaches).usable(
        prompt_file(), ["id", "plan", "price", "feedback"], {"stays", "leaves"}
    )
    stacked = set(STACKED) if "stack" in approaches else set()
    assert len(names) == len(set(names))
    assert (set(names), notes) == (stacked | set(approaches), note)


def test_a_stack_without_two_approaches_that_can_run_is_left_out(monkeypatch):
    def unusable(name, *_):
        return "" if name == "text" else "there is a reason"

    monkeypatch.setattr("promptpredict.baselines.unusable", unusable)
    names, notes = Plan(approaches=("stack",)).usable(
        prompt_file(), ["id", "plan", "price", "feedback"], {"stays", "leaves"}
    )
    assert names == ["text"]
    assert notes[0] == (
        "stack is left out: it joins two or more of zero-shot, probe, structured, structured-trees, "
        "text, embedding"
    )
