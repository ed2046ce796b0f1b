"""Names and wordings of afterwards: those that are, and those that only look like it."""

from __future__ import annotations

import pytest

from promptpredict.hindsight import said_afterwards, wordings


@pytest.mark.parametrize(
    ("column", "target"),
    [
        ("churned", "left"),
        ("ChurnReason", "Exited"),
        ("Churn Score", "Churn"),
        ("cancel_date", "y"),
        ("Cancelled", "y"),
        ("date_cancelled", "y"),
        ("contract cancellation date", "y"),
        ("termination_reason", "y"),
        ("closed_date", "y"),
        ("account closed on", "y"),
        ("ClosingDate", "y"),
        ("end_date", "y"),
        ("ended at", "y"),
        ("reason for leaving", "y"),
        ("reason_left", "y"),
        ("date of closure", "y"),
        ("unsubscribed", "y"),
        ("deactivated_at", "y"),
        ("outcome", "y"),
        ("Resolution", "y"),
        ("exit survey", "Exited"),
        ("churn_label", "is_churn"),
        ("renewed_flag", "renewed"),
        ("will_subscribe", "Subscribed"),
    ],
)
def test_names_of_afterwards(column, target):
    assert said_afterwards(column, target)


@pytest.mark.parametrize(
    "column",
    [
        "contract",
        "Contract",
        "contract end date",
        "trial closing date",
        "closed tickets",
        "tickets_closed",
        "number of cancellations",
        "cancelled orders",
        "cancellation_fee",
        "previous outcome",
        "poutcome",
        "screen resolution",
        "weekend",
        "gender",
        "trend",
        "time left",
        "months left in contract",
        "ExitRates",
        "reason",
        "contact reason",
        "tenure",
        "TotalCharges",
        "termination deadline",
        "start_date",
        "Class Name",
        "customer status",
    ],
)
def test_names_of_before(column):
    assert not said_afterwards(column, "is_churn")


def test_a_plain_word_of_the_target_makes_no_look_alike():
    assert not said_afterwards("Class Name", "class")
    assert not said_afterwards("Response time", "Response")
    assert not said_afterwards("year", "y")


def found(text):
    return [name for name, (hit,) in wordings([text]).items() if hit]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("I have cancelled and won't be back.", "I have cancelled"),
        ("I’ve already canceled my subscription", "I have cancelled"),
        ("We cancelled\nlast week", "I have cancelled"),
        ("After I left they kept billing me", "after I left"),
        ("nothing but calls since we left the company", "after I left"),
        ("I have switched to another provider", "I have switched to another"),
        ("Note: customer has cancelled.", "the customer has left"),
        ("The account has been closed", "account closed"),
        ("Account closed 3 May", "account closed"),
        ("they closed my savings account", "account closed"),
        ("my subscription was cancelled", "contract terminated"),
        ("this confirms your cancellation", "cancellation confirmed"),
        ("Thank you so much for the full refund", "thank you for the refund"),
        ("We are sorry to see you go!", "sorry to see you go"),
        ("the final invoice was wrong", "final bill"),
        ("as a former customer", "former customer"),
        ("We've missed you", "we miss you"),
    ],
)
def test_wordings_of_afterwards(text, name):
    assert found(text) == [name]


@pytest.mark.parametrize(
    "text",
    [
        "I will cancel if this goes on",
        "I want to cancel my subscription",
        "How do I close my account?",
        "I cancelled my flight and was not refunded",
        "I have cancelled the second order",
        "after I left the store I saw the stain",
        "since I left home",
        "I want a refund",
        "please open an account",
        "the store was closed",
        "I have moved to a new flat",
        "",
    ],
)
def test_wordings_of_before(text):
    assert found(text) == []


def test_each_text_is_told_by_itself():
    hits = wordings(["fine", "Account closed", "fine", "account CLOSED"])
    assert hits["account closed"] == [False, True, False, True]
