"""The shipped prompt files: each whole prompt, the list, the copy, and a first file for a table."""

import re
from itertools import permutations
from pathlib import Path

import pytest

from promptpredict.errors import PromptError
from promptpredict.prompt import PromptFile
from promptpredict.records import Record
from promptpredict.shipped import copy, folder, names
from promptpredict.values import parse

GOLDEN = Path(__file__).parent / "golden"
INSURED = {
    "Customer": "p-17",
    "State": "Oregon",
    "Coverage": "Basic",
    "Education": "Bachelor",
    "Effective To Date": "2024-02-11",
    "EmploymentStatus": "Employed",
    "Gender": "F",
    "Income": "52000",
    "Location Code": "Suburban",
    "Marital Status": "Single",
    "Monthly Premium Auto": "94",
    "Months Since Last Claim": "7",
    "Months Since Policy Inception": "40",
    "Number of Open Complaints": "0",
    "Number of Policies": "2",
    "Policy Type": "Personal Auto",
    "Renew Offer Type": "Offer2",
    "Sales Channel": "Agent",
    "Total Claim Amount": "431.7",
    "Vehicle Class": "SUV",
    "Vehicle Size": "Medsize",
}
STUDENT = {
    "row_id": "17",
    "Marital status": "1",
    "Application mode": "8",
    "Course": "12",
    "Daytime/evening attendance": "1",
    "Mother's occupation": "46",
    "Father's occupation": "10",
    "Debtor": "0",
    "Tuition fees up to date": "1",
    "Gender": "0",
    "Curricular units 1st sem (grade)": "12.428571",
    "Unemployment rate": "10.8",
} | dict.fromkeys(
    [
        *("Application order", "Previous qualification", "Nacionality", "Displaced"),
        *("Mother's qualification", "Father's qualification", "Scholarship holder"),
        *("Educational special needs", "Age at enrollment", "International", "GDP"),
        *("Curricular units 1st sem (credited)", "Curricular units 1st sem (enrolled)"),
        *("Curricular units 1st sem (evaluations)", "Curricular units 1st sem (approved)"),
        *("Curricular units 1st sem (without evaluations)", "Inflation rate"),
    ],
    "",
)
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
    "churn-shop-zh": {
        "customer_id": "z-17",
        "order_amount": "48.5",
        "num_purchases": "6",
        "last_purchase_time": "2024-02-11",
        "returns": "",
        "feedback_text": "包裹两次都晚到，箱子也破了。",
    },
    "complaint-outcome": {
        "Date received": "2024-02-11",
        "Product": "Mortgage",
        "Sub-product": "",
        "Issue": "Trouble during payment process",
        "Sub-issue": "Payment not credited",
        "Consumer complaint narrative": "They lost my payment and charged me a late fee.",
        "Company": "A Bank",
        "State": "OH",
        "ZIP code": "",
        "Tags": "Older American",
        "Submitted via": "Web",
        "Complaint ID": "17",
        "Earlier complaints": "2",
    },
    "credit-risk": {
        "row_id": "17",
        "checking_status": "<0",
        "duration": "24",
        "purpose": "new car",
        "credit_amount": "3500",
        "savings_status": "100<=X<500",
        "employment": ">=7",
        "installment_commitment": "4",
        "personal_status": "male single",
        "age": "33",
    }
    | dict.fromkeys(
        [
            *("credit_history", "other_parties", "residence_since", "property_magnitude"),
            *("other_payment_plans", "housing", "existing_credits", "job", "num_dependents"),
            *("own_telephone", "foreign_worker"),
        ],
        "",
    ),
    "insurance-renewal": INSURED | {"Customer Lifetime Value": "5012.4"},
    "lifetime-value": INSURED,
    "investment-preference": {
        "customer_id": "i-17",
        "age": "44",
        "income": "52000",
        "savings": "18500.5",
        "horizon": "12",
        "experience": "",
        "dependents": "2",
        "loss": "15",
        "adviser_notes": "I would rather sleep well than win a point more.",
    },
    "purchase-intent": {
        "row_id": "17",
        "Administrative": "2",
        "Administrative_Duration": "80.5",
        "Informational": "0",
        "Informational_Duration": "0.0",
        "ProductRelated": "31",
        "ProductRelated_Duration": "1270.25",
        "BounceRates": "0.0125",
        "ExitRates": "0.03",
        "PageValues": "12.24",
        "SpecialDay": "0.0",
        "Month": "Nov",
        "OperatingSystems": "2",
        "TrafficType": "3",
        "VisitorType": "Returning_Visitor",
        "Weekend": "TRUE",
    },
    "student-dropout": STUDENT,
    "student-outcome": STUDENT,
    "survey-detractor": {
        "row_id": "17",
        "CUSTOMER_RESPONSE_DATE": "2024-02-11",
        "SURVEY_SUB_TYPE": "Repair",
        "text": "The technician came on the third day.",
        "Qtr": "Q1",
        "Tariff": "Basic",
    },
    "term-deposit": {
        "row_id": "17",
        "age": "58",
        "job": "retired",
        "marital": "married",
        "education": "secondary",
        "default": "no",
        "balance": "2143",
        "housing": "yes",
        "loan": "no",
        "contact": "cellular",
        "day": "5",
        "month": "may",
        "campaign": "1",
        "pdays": "-1",
        "previous": "0",
        "poutcome": "",
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


@pytest.mark.parametrize("name", CUSTOMERS)
def test_words_are_apart_and_what_is_ignored_has_its_reason(name):
    """A word that begins another, of another label, would have to be scored with its end."""
    found = PromptFile.load(name)
    asides = [dict(enumerate(aside.words)) for aside in found.front.panel.values()]
    for words in (found.words, *({key: [word] for key, word in aside.items()} for aside in asides)):
        for one, other in permutations(words, 2):
            pairs = [(a, b) for a in words[one] for b in words[other]]
            assert [pair for pair in pairs if f"{pair[1]} ".startswith(f"{pair[0]} ")] == []
    reasons = found.path.read_text(encoding="utf-8").count("{# Ignored: ")
    assert reasons == bool(found.front.ignore)


@pytest.mark.parametrize("name", CUSTOMERS)
def test_labels_are_scored_by_words_that_mean_what_they_say(name):
    """Letters or numbers that stand for answers would be chosen by their order as well."""
    for words in PromptFile.load(name).words.values():
        for word in words:
            assert len(word) > 1
            assert word.replace(" ", "").isalpha()


def test_every_shipped_file_has_its_page():
    """The page is what a person reads before copying a file: it names each, and no other."""
    page = (folder() / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[([a-z-]+)\]\(\1\.jinja\)", page, re.M) == sorted(CUSTOMERS)


def test_every_shipped_file_is_listed_with_its_task_and_what_it_is_for():
    other = dict.fromkeys(["investment-preference", "student-outcome"], "multiclass")
    other["lifetime-value"] = "regression"
    listed = {each.name: each for each in names()}
    assert {name: each.task for name, each in listed.items()} == {
        name: other.get(name, "binary") for name in CUSTOMERS
    }
    assert list(listed) == sorted(listed)
    assert listed["churn-shop"].description == (
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
        f"shipped: {', '.join(sorted(CUSTOMERS))}"
    )
