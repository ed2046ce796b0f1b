"""Texts with personal data that is made up letter by letter, and where in them it stands."""

from __future__ import annotations

import random
from dataclasses import dataclass

import phonenumbers

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "NL", "BR")
CUED = (  # what tells that a name follows
    "My name is {}.", "I spoke to {} about it.", "Dear {}, this is a joke.", "Mr {} promised a refund.",
    "Ms. {} was rude to me.", "I was helped by {} in the shop.", "Please call Mrs {} back.",
    "The technician {} never came.", "It is broken again.\n\nKind regards,\n{}", "Hi {}, why?",
)  # fmt: skip
UNCUED = (
    "{} promised me a refund.", "Last week {} called twice.", "I complained about {} yesterday.",
    "Then {} hung up on me.", "Nobody but {} knew what to do.",
)  # fmt: skip
OTHERS = {
    "email": ("Write to {}.", "My address is {}, use it.", "{} gets no mail from you.", "I ({}) am angry."),
    "phone": ("Call me on {}.", "Tel. {} is always busy.", "My number: {}", "You can reach me at {} today."),
    "card": ("You charged {} twice.", "My card {} was refused.", "Card number: {}, why?"),
    "iban": ("Send it to {}.", "My IBAN is {}.", "{} is the account, I said."),
    "id": ("{} is still open.", "It is about {}.", "I gave you {} three times."),
    "address": ("I live at {}.", "It was sent to {}.", "{} has no connection.", "We moved to {} in May."),
}  # fmt: skip
PLAIN = (
    "The delivery was two days late and the box was torn.", "I paid 1,299.00 EUR for the Galaxy S21.",
    "On 12/03/2024 at 10:30 the line was dead again.", "Version 2.0.1 crashes, version 1.9.14 did not.",
    "I am Very Angry and will leave in 2025.", "Great Service, 5 stars!", "We waited 45 minutes.",
    "Thank you for the quick help with my router.", "Vodafone was cheaper in Berlin and Paris.",
    "The dress fits a size 12, I am 5'4 and 130 lbs.", "Dear Customer Service, please answer.",
    "Hello Team, it works now. Thanks", "Order again? Never. 100 % no.", "I called 3 times in 24 hours.",
    "Flight FR 1234 was late, seat 12A was dirty.", "Premium plan, 36 months, 79.99 a month.",
    "This is Ridiculous.", "My account is empty and my contract ends in 2026.",
    "Since 01.02.2023 I have 50 Mbit instead of 250.", "The manager was Friendly. Best wishes",
    "Room 404 on floor 3 was cold, the Hotel was full.", "I rate it 7/10, maybe 8/10 next time.",
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A text, and what stands in it: (kind, what was planted)."""

    text: str
    personal: tuple[tuple[str, str], ...]


def texts(count=600, seed=0):
    """Return texts, each with up to three pieces of personal data among sentences without."""
    drawn = random.Random(seed)
    kinds = ["name", "uncued name", *OTHERS]
    found = []
    for number in range(count):
        parts, personal = [drawn.choice(PLAIN) for _ in range(drawn.randrange(1, 3))], []
        for kind in drawn.sample(kinds, 0 if number % 5 == 0 else drawn.randrange(1, 4)):
            value = MAKE[kind](drawn)
            forms = {"name": CUED, "uncued name": UNCUED}.get(kind) or OTHERS[kind]
            personal.append((kind, value))
            parts.insert(drawn.randrange(len(parts) + 1), drawn.choice(forms).format(value))
        # a farewell stands at the end
        parts.sort(key=lambda part: "regards" in part)
        found.append(Planted(" ".join(parts), tuple(personal)))
    return found


# -- what is made up -----------------------------------------------------------------------------


def word(drawn, syllables=2):
    return "".join(
        drawn.choice("bdfgklmnprstvz") + drawn.choice("aeiou") for _ in range(syllables)
    ) + drawn.choice(["", "n", "r", "s", "l"])


def name(drawn):
    first, last = word(drawn).capitalize(), word(drawn, 3).capitalize()
    middle = drawn.choice(["", "", "", " van", f" {word(drawn)[0].upper()}."])
    return f"{first}{middle} {last}"


def email(drawn):
    user = drawn.choice(
        [
            f"{word(drawn)}.{word(drawn)}",
            word(drawn) + str(drawn.randrange(99)),
            f"{word(drawn)}+shop",
        ]
    )
    host = f"{word(drawn)}{drawn.choice(['.com', '.co.uk', '-mail.de', '.example', '.io'])}"
    at = drawn.choice(["@", "@", "@", "@", " (at) ", "[at]"])
    return f"{user}{at}{host}"


def phone(drawn):
    while True:
        region = drawn.choice(REGIONS)
        kind = drawn.choice(
            [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
        )
        number = phonenumbers.example_number_for_type(region, kind)
        digits = str(number.national_number)
        number.national_number = int(digits[:-4] + f"{drawn.randrange(10_000):04}")
        if phonenumbers.is_valid_number(number):
            form = drawn.choice(
                [phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164,
                 phonenumbers.PhoneNumberFormat.NATIONAL]
            )  # fmt: skip
            return phonenumbers.format_number(number, form)


def card(drawn):
    digits = drawn.choice(["4", "51", "55", "6011"])
    digits += "".join(str(drawn.randrange(10)) for _ in range(15 - len(digits)))
    doubled = [int(d) * (2 - at % 2) for at, d in enumerate(digits)]
    digits += str(-sum(d - 9 * (d > 9) for d in doubled) % 10)
    by = drawn.choice(["", " ", "-"])
    return by.join(digits[at : at + 4] for at in range(0, 16, 4))


def iban(drawn):
    country, length = drawn.choice([("DE", 18), ("ES", 20), ("FR", 23), ("AT", 16), ("BE", 12)])
    account = "".join(str(drawn.randrange(10)) for _ in range(length))
    rest = int(account + "".join(str(ord(c) - 55) for c in country) + "00") % 97
    whole = f"{country}{98 - rest:02}{account}"
    return drawn.choice([whole, " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))])


def id(drawn):
    number, code = drawn.randrange(100_000, 10_000_000), word(drawn)[:2].upper()
    return drawn.choice(
        ["order no. {}", "customer number {}", "ticket #{}", "contract {}", "Invoice: {}", "policy number {}",
         "booking reference {}", "passport no {}", "case ID {}"]
    ).format(drawn.choice([number, f"{code}{number}", f"{code}-{number}", f"{number}/{code}"]))  # fmt: skip


def address(drawn):
    street, town, number = (
        word(drawn).capitalize(),
        word(drawn, 3).capitalize(),
        drawn.randrange(1, 400),
    )
    postcode = f"{drawn.randrange(10_000, 99_999)}"
    return drawn.choice(
        [f"{number} {street} {drawn.choice(['Street', 'Road', 'Avenue', 'Lane', 'Drive'])}",
         f"{number} {street} {town} Ave., Apt. {number % 40 + 1}, {town}, TX {postcode}",
         f"{number} {street} Close, {town} {town[0]}{number % 9 + 1} {number % 9}QX",
         f"{street}straße {number}, {postcode} {town}", f"{street}weg {number}a",
         f"{number} rue de {town}, {postcode} {street}", f"Calle {street} {number}", f"PO Box {number}"]
    )  # fmt: skip


MAKE = {
    "name": name, "uncued name": name, "email": email, "phone": phone, "card": card, "iban": iban,
    "id": id, "address": address,
}  # fmt: skip


# -- how much of it is found ---------------------------------------------------------------------


def measure(redactor, count=600):
    """Return recall by what was planted and precision by what was found: kind → (right, of how many).

    Found is what a placeholder covers whole; of an id, all but the cue in front of it.
    """
    recall, precision = {}, {}

    def add(figures, kind, hit):
        right, of = figures.get(kind, (0, 0))
        figures[kind] = (right + hit, of + 1)

    for planted in texts(count):
        spans = redactor.find(planted.text)
        places = []
        for kind, value in planted.personal:
            start = planted.text.index(value)
            end = start + len(value)
            places.append((start, end))
            begin = end - len(value.split(" ")[-1].lstrip("#")) if kind == "id" else start
            add(recall, kind, any(span.start <= begin and end <= span.end for span in spans))
        for span in spans:
            right = any(start < span.end and span.start < end for start, end in places)
            add(precision, span.kind, right)
    return recall, precision
