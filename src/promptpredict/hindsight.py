"""What names of columns and wordings of texts say of having come after the outcome.

Knows English words; knows nothing of records, labels or shares. What customers intend ("I will
cancel") was said before, and what they cancelled besides ("I cancelled my flight") is not it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Said of the customer, these are known afterwards; said of what follows in _OTHER, before.
_STATE = r"churn\w*|cancel\w*|terminat\w*|attrition|unsubscrib\w*|deactivat\w*|disconnect\w*|exited|leavers?|lapsed|outcome|resolution|resolved"
_MOMENT = r"(clos(ed|ing|ure)|end(ed)?|exit|leaving|left|departure|quit)( (customer|account|service))? (date|day|on|at|reason|time|timestamp)"
_REASON = r"(date|day|reason) ((of|for) )?(the )?(closed|closing|closure|end|ended|exit|exited|leaving|left|departure|quit|quitting)"
_AFTER = re.compile(rf"\b({_STATE}|{_MOMENT}|{_REASON})\b")
_OTHER = re.compile(
    r"\b(prev|previous\w*|prior|past|earlier|historic\w*|n|no|num|nr|number|count|total|orders?|tickets?|bookings?|flights?|calls?|"
    r"appointments?|meetings?|invoices?|reservations?|trips?|visits?|fees?|allowed|deadline|notice|screen|display)\b"
)
# 'contract end date' and 'trial closing date' are agreed beforehand, unless somebody cancels
_AGREED = re.compile(
    r"\b(contract|trial|promo\w*|discount|warranty|offer|lease|plan|policy|period|campaign)\b"
)
_PLAIN = {"flag", "label", "labels", "status", "value", "values", "target", "class", "type", "code", "indicator", "outcome", "result", "response", "customer", "customers", "user", "will", "does"}  # fmt: skip

# "I cancelled my flight" is something else than having left
_ELSE = r"(?! (?:\w+ ){0,3}(?:flights?|orders?|bookings?|trips?|reservations?|hotels?|tickets?|appointments?|holidays?|checks?|items?|deliver\w+|visits?|transfers?|payments?|transactions?|cards?)\b)"
_WE = r"\b(?:i|we)(?: have| had|'ve|'d)?(?: just| already| now| since)?"
_LEFT = r"left(?! (?:for|home|work|town|from|a|it|this|him|her|(?:the|my|our) (?!company|bank|provider|service))\b)"
_PHRASES = {
    name: re.compile(pattern)
    for name, pattern in {
        "I have cancelled": rf"{_WE} (?:cancell?ed|terminated|unsubscribed)\b{_ELSE}",
        "after I left": rf"\b(?:after|since) {_WE[2:]} (?:{_LEFT}|cancell?ed\b{_ELSE}|quit\b|terminated\b)",
        "I have switched to another": rf"{_WE} (?:switched|moved|gone) to (?:another|a different|a new provider|your compet\w+|the compet\w+)\b",
        "the customer has left": rf"\b(?:customer|client|member|user) (?:has |had )?(?:churned|left us|(?:cancell?ed|terminated)\b{_ELSE})",
        "account closed": r"\baccount (?:(?:was|is|has been|had been|now|is now) )?closed\b|\bclosed (?:my|our|the|their|his|her) (?:\w+ )?account\b",
        "contract terminated": r"\b(?:subscription|contract|membership|policy) (?:was|is|has been|had been|is now) (?:cancell?ed|terminated|ended)\b",
        "cancellation confirmed": r"\b(?:cancellation|termination)(?: \w+){0,2} (?:confirmed|processed|completed)\b|\bconfirm\w*(?: \w+){0,3} (?:cancellation|termination)\b",
        "thank you for the refund": r"\bthank(?:s| you)(?: \w+){0,3} for (?:the|my|our|your|this)(?: \w+){0,2} refund\b",
        "sorry to see you go": r"\bsorry (?:to see |that )?you(?:'re| are| have)? (?:go|going|leav\w+|left)\b",
        "final bill": r"\bfinal (?:bill|invoice|statement)\b",
        "former customer": r"\b(?:former|ex|past)[ -]customer\b|\bused to be a customer\b|\bno longer (?:a|your) customer\b",
        "we miss you": r"\bwe(?:'ve| have)? miss(?:ed)? you\b|\bwin you back\b",
    }.items()
}  # fmt: skip


def said_afterwards(column: str, target: str) -> bool:
    """Whether a column's name says that it is known afterwards, or is nearly the target's.

    "churn_reason", "ClosedDate" and "date of leaving" do; "closed tickets", "number of
    cancellations", "contract" and "contract end date" are known before.
    """
    name, of = _plain_name(column), _plain_name(target)
    found = _AFTER.search(name)
    stems = [word for word in of.split() if word not in _PLAIN and len(word) > 3]
    alike = bool(stems) and all(
        any(word.startswith(stem) or stem.startswith(word) for word in name.split() if len(word) > 3)
        for stem in stems
    )  # fmt: skip
    if _OTHER.search(name) or not (found or alike):
        return False
    return alike or not _AGREED.search(name) or bool(re.search(rf"\b({_STATE})\b", name))


def wordings(texts: Sequence[str]) -> dict[str, list[bool]]:
    """Return for each wording of afterwards in which of the texts it stands."""
    plain = [" ".join(text.casefold().replace("’", "'").split()) for text in texts]
    return {name: [bool(find.search(text)) for text in plain] for name, find in _PHRASES.items()}


def _plain_name(column: str) -> str:
    """Return a column's name in words: ``ChurnReason_1`` is ``churn reason 1``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return " ".join(re.findall(r"[^\W_]+", apart.casefold()))
