"""The shipped prompt files: each whole prompt, the list, the copy, and a first file for a table."""

from pathlib import Path

import pytest

from promptpredict.errors import PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shipped import copy, folder, names
from promptpredict.values import parse

GOLDEN = Path(__file__).parent / "golden"
CUSTOMERS = {  # made up
    "churn-shop": {
        "customer_id": "s-17",
        "order_amount": "48.5",
        "num_purchases": "6",
        "last_purchase_time": "2024-02-11",
        "returns": "",
        "feedback_text": "The parcel was late twice and the box was open.",
    },
    "churn-telecom": {
        "customerID": "t-17",
        "gender": "Female",
        "SeniorCitizen": "0",
        "Partner": "Yes",
        "Dependents": "No",
        "tenure": "0",
        "PhoneService": "Yes",
        "MultipleLines": "No",
        "InternetService": "Fiber optic",
        "OnlineSecurity": "No",
        "OnlineBackup": "Yes",
        "DeviceProtection": "No",
        "TechSupport": "No",
        "StreamingTV": "Yes",
        "StreamingMovies": "No",
        "Contract": "One year",
        "PaperlessBilling": "Yes",
        "PaymentMethod": "Mailed check",
        "MonthlyCharges": "81.3",
        "TotalCharges": " ",
    },
    "churn-bank": {
        "CustomerId": "b-17",
        "CreditScore": "640",
        "Geography": "Spain",
        "Gender": "Male",
        "Age": "51",
        "Tenure": "4",
        "Balance": "12500.5",
        "NumOfProducts": "1",
        "HasCrCard": "1",
        "IsActiveMember": "0",
        "EstimatedSalary": "70000",
    },
}


@pytest.mark.parametrize("name", CUSTOMERS)
def test_a_shipped_prompt(name):
    cells = CUSTOMERS[name]
    found = PromptFile.load(name)
    found.check_columns([*cells, found.front.target], "t.csv", labelled=True)
    assert (found.name, found.warnings) == (f"{name}.jinja", [])
    prompt = found.render(Record(1, "", {column: parse(cell) for column, cell in cells.items()}))
    words = "; ".join(f"{key}: {', '.join(words)}" for key, words in found.words.items())
    text = f"[system]\n{prompt.system}\n[user]\n{prompt.user}\n[assistant]\n{prompt.answer}|\n[words]\n{words}\n"
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_shipped_file_is_listed_with_its_task_and_what_it_is_for():
    assert [(each.name, each.task) for each in names()] == [(name, "binary") for name in sorted(CUSTOMERS)]  # fmt: skip
    assert names()[1].description == (
        "Churn in an online shop, from what customers wrote and a few order columns."
    )


@pytest.mark.parametrize("name", ["churn-shop", "churn-shop.jinja"])
def test_a_copy_is_the_same_file_and_never_overwrites(tmp_path, name):
    copied = copy(name, tmp_path)
    assert copied == tmp_path / "churn-shop.jinja"
    assert copied.read_bytes() == (folder() / "churn-shop.jinja").read_bytes()
    with pytest.raises(PromptError) as caught:
        copy(name, tmp_path)
    assert str(caught.value) == f"{copied} is there already; move it, or copy elsewhere"


def test_a_copy_needs_a_folder_and_a_known_name(tmp_path):
    with pytest.raises(PromptError) as caught:
        copy("churn-shop", tmp_path / "none")
    assert str(caught.value) == (
        f"{tmp_path / 'none' / 'churn-shop.jinja'} cannot be written (No such file or directory)"
    )
    with pytest.raises(PromptError) as unknown:
        copy("churn-ship", tmp_path)
    assert str(unknown.value) == (
        "no prompt file 'churn-ship' (nearest: 'churn-shop'); it is neither a file nor one of the "
        "shipped: churn-bank, churn-shop, churn-telecom"
    )
