"""Write the SYNTHETIC sample that ships with promptpredict: 600 customers of an online shop.

Nobody in it exists. Each customer has a latent satisfaction, which decides the tone of the
feedback and is written nowhere; whether they churn is drawn from it and from the columns. So the
text knows what the columns don't, and the other way round. Knows nothing of promptpredict.

    python benchmarks/make_sample.py --out src/promptpredict/data/shop_customers.csv
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

CUSTOMERS = 600
TODAY = date(2025, 6, 30)  # the day on which the table was "exported"
OUT = Path(__file__).parent.parent / "src/promptpredict/data/shop_customers.csv"

COUNTRIES = {
    "Germany": 0.26, "France": 0.18, "Netherlands": 0.14, "Spain": 0.12,
    "Italy": 0.11, "Austria": 0.08, "Belgium": 0.06, "Ireland": 0.05,
}  # fmt: skip
AGE_GROUPS = {"18-24": 0.14, "25-34": 0.29, "35-44": 0.24, "45-54": 0.17, "55-64": 0.1, "65+": 0.06}
# The share of blanks in each column that has any.
BLANKS = {
    "age_group": 0.06, "order_amount": 0.03, "last_purchase_time": 0.02,
    "newsletter": 0.04, "feedback_text": 0.05,
}  # fmt: skip

WORN = ["jacket", "dress", "sweater", "coat", "hoodie", "shirt", "cardigan", "skirt", "parka"]
ITEMS = [
    *WORN, "backpack", "lamp", "blanket", "coffee grinder", "teapot", "desk chair", "kettle", "rug",
    "speaker", "water bottle", "cushion", "frying pan", "watch strap", "suitcase", "toaster",
]  # fmt: skip

# What customers say of each aspect when it went well, when it went badly, and either way: clauses
# in lower case without a full stop, so that they can be joined; "|" stands between them.
REMARKS = {
    "good": {
        "delivery": """delivery was quick | the parcel came after only {few} days | it arrived a day
            earlier than promised | shipping was fast and I could track every step | the courier was
            friendly and on time | my {item} was on the doorstep within {few} days | fast delivery
            as usual | arrived exactly when they said it would | super quick dispatch, ordered in
            the evening and shipped the next morning""",
        "price": """the price was fair | you get a lot for the money | the discount made it a real
            bargain | cheaper than anywhere else I looked | great value | free shipping from 30
            euros is a nice touch | the {item} is worth every cent | the sale prices are hard to
            beat""",
        "quality": """the {item} is well made | lovely quality | the colours are just like in the
            pictures | the {item} feels sturdy and looks great | I use the {item} every day and it
            still looks new | the material feels solid | better quality than I expected | even nicer
            in real life than on the website | the {item} is exactly what I was looking for""",
        "support": """customer service answered within an hour | the chat sorted it out in minutes |
            support was kind and really helped me | they replaced the {item} without any fuss | the
            lady on the phone was patient and friendly | every question I had was answered | a
            problem with the invoice was fixed the same day""",
        "app": """the app is easy to use | checkout took less than a minute | the new filters are
            really handy | I love the wish list in the app | ordering from my phone works perfectly
            | the website is clear and the descriptions are accurate | reordering takes two
            clicks""",
        "returns": """returning the {item} was simple | my money was back in {few} days | the free
            returns are great | the exchange went smoothly | the return label was in the box""",
        "packaging": """nicely packed | everything came well wrapped and without plastic | the
            packaging was neat and small | the little thank-you card made me smile | the box was
            sturdy and nothing was damaged""",
        "size": """the {item} fits perfectly | the size chart was spot on | true to size | the
            {item} is really comfortable | the cut of the {item} is flattering""",
    },
    "bad": {
        "delivery": """delivery took {many} days | the parcel was {many} days late and nobody told
            me why | the tracking never updated | the courier left it with a neighbour I have never
            met | still waiting for the rest of the order after {many} days | half of the order was
            missing | I had to stay home twice because the delivery date kept moving | shipping is
            far too slow | they sent it to my old address | the parcel got lost and I had to chase
            it myself""",
        "price": """way too expensive for what it is | the price went up two days after I put it in
            the basket | shipping costs are a rip-off | I was charged twice and had to ask for the
            money back | the voucher code did not work | found the same {item} elsewhere for much
            less | prices keep creeping up | not worth the {price} euros I paid | hidden fees at the
            checkout""",
        "quality": """the {item} broke after {many} days | the {item} looks cheap | poor quality |
            the colour is nothing like the photo | it came apart in the first month | the {item}
            smells of chemicals | there was a scratch on the {item} right out of the box | it feels
            flimsy | the {item} was faulty | the finish is sloppy and one part was bent""",
        "support": """nobody answers my emails | I was on hold for {minutes} minutes | support just
            sends the same copied answer | the chat bot is useless | I have written {few} times and
            got no reply | customer service was rude | they promised to call back and never did | I
            was passed from one person to the next | it took {many} days to get an answer from
            support""",
        "app": """the app crashes at the checkout | the website is slow and confusing | I get logged
            out all the time | the search finds everything except what I type | it emptied my basket
            twice | the app shows items that are out of stock | the payment page froze and I had to
            start over | since the update the app is a mess""",
        "returns": """I am still waiting for my refund | had to pay for the return myself | they
            refused to take the {item} back | the refund took {weeks} weeks | the return form keeps
            giving an error | they only offered a voucher instead of my money | sending the {item}
            back was a nightmare""",
        "packaging": """the box was crushed | far too much plastic | the parcel was open when I got
            it | a huge box for one {item}, such a waste | the {item} was just thrown into a bag |
            badly packed and so the {item} arrived damaged""",
        "size": """the {item} runs far too small | the size chart is plain wrong | the {item} shrank
            in the wash | two of the same size and they fit differently | they sent the wrong size |
            the sleeves of the {item} are much too short""",
    },
    "any": {
        "delivery": """delivery took about a week | picked it up from the parcel shop | had it
            delivered to the office | it came in two parcels""",
        "price": """I paid {price} euros | bought it with a voucher | it was on offer | price is
            about the same as in town | paid by invoice""",
        "quality": """the {item} is for my sister | it's a {item}, it does what it should | the
            colour is a bit darker than in the picture | have only used the {item} twice so far |
            quality is about average""",
        "support": """I asked the chat about the warranty | wrote to support about the invoice |
            called once to change the address | have not needed support so far""",
        "app": """I ordered through the app | I usually order on the website | would like a dark
            mode in the app | the app asks for a rating after each order""",
        "returns": """sent one of two back | returned one thing and kept the {item} | have not tried
            a return yet | exchanged it for another colour""",
        "packaging": """it came in a plain brown box | the box fits the letter box | packaging was
            normal""",
        "size": """took the {item} one size up | the {item} is a bit loose but that's the style |
            ordered the {item} in medium | size is as described""",
    },
}

# The overall impression: very bad, bad, mixed, good, very good.
VERDICTS = [
    """very disappointed | I am really fed up | terrible experience | this was a complete waste of
        money | so annoyed right now | worst shop I have ordered from in years | I am angry, to be
        honest | unacceptable | I have lost my trust in this shop""",
    """not happy with this one | I expected more | a bit of a letdown | it used to be better here |
        this needs to improve | rather frustrating | not what I hoped for | I am not impressed |
        could be a lot better""",
    """it's ok | all in all average | neither good nor bad | mixed feelings | fine I guess | nothing
        special | some things work and some don't | does the job | no strong opinion""",
    """quite happy | good shop | I am satisfied | no complaints | all good | pleased with my order |
        works well for me | would recommend | nice experience overall""",
    """absolutely love it | best shop I know | I am delighted | fantastic as always | really happy
        with everything | I tell all my friends about it | could not be happier | brilliant service
        from start to finish | five stars from me""",
]

OPENINGS = """so, | well, | hi, | hello, | just some feedback: | ordered a {item} in {month}. |
    bought a {item} for myself. | this was my {nth} order. | got a {item} as a present. | my review
    of the {item}: | I have been a customer for a while. | second try with this shop. | needed a
    {item} before the holidays. | about my order in {month}: | short version:"""
# What is hung on a clause of that tone, before or after it.
LEADS = {"good": "happy to say | luckily", "bad": "unfortunately | sadly"}
TAILS = {
    "good": "which is great | I love that | so I am happy | very good | really nice",
    "bad": "which is annoying | disappointing | that makes me angry | so frustrating",
}
CLOSINGS = {
    "good": "thank you | keep it up | thanks to the team | looking forward to the next sale",
    "bad": "please fix this | please do something about it | sort it out | I want my money back",
    "any": "greetings from {city} | that's all | just my opinion | hope this helps",
}
TURNS = "but | however | although | then again | on the other hand"
SLOTS = {
    "few": ["two", "2", "three", "3"], "many": ["8", "nine", "10", "12", "14", "16"],
    "minutes": ["25", "30", "40", "45", "50"], "weeks": ["three", "4", "five", "6"],
    "price": ["19", "25", "35", "49", "60", "79", "120"],
    "month": ["January", "February", "March", "April", "May", "autumn", "winter"],
    "nth": ["first", "second", "third", "fifth", "tenth"],
    "city": ["Lyon", "Cork", "Graz", "Utrecht", "Leipzig", "Turin", "Seville", "Ghent"],
    "item": ITEMS,
}  # fmt: skip

T = TypeVar("T")


class Clause(NamedTuple):
    """Part of a feedback: its tone (good, bad or any), and whether no "and" may join it."""

    tone: str
    words: str
    alone: bool = False


class Draw:
    """Random numbers whose stream is frozen: numpy keeps RandomState bit for bit, not Generator."""

    def __init__(self, seed: int) -> None:
        """Start the stream of ``seed``."""
        self.random = np.random.RandomState(seed)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return bool(self.random.random_sample() < probability)

    def among(self, values: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Return one of the values, by weight where weights (summing to 1) are given."""
        point = self.random.random_sample()
        if weights is None:
            return values[int(point * len(values))]
        return values[min(int(np.searchsorted(np.cumsum(weights), point)), len(values) - 1)]

    def phrase(self, phrases: str) -> str:
        """Return one of the phrases between the bars."""
        return " ".join(self.among(phrases.split("|")).split())


def logistic(log_odds: float) -> float:
    """Return the probability of these log-odds."""
    return float(1 / (1 + np.exp(-log_odds)))


def customer(draw: Draw, number: int) -> dict[str, str | int]:
    """Return one customer with every column filled."""
    satisfaction = draw.random.randn()
    tenure = int(30 + draw.random.random_sample() * 1500)
    habit = np.exp(0.9 + 0.0006 * tenure + 0.5 * draw.random.randn())
    purchases = 1 + int(draw.random.poisson(habit))
    since = min(int(draw.random.exponential(90)), tenure)
    returns = int(draw.random.binomial(purchases, logistic(-1.9 + 0.7 * draw.random.randn())))
    contacts = int(draw.random.poisson(np.exp(-0.6 - 0.3 * satisfaction)))
    log_odds = -3.4 - 3.2 * satisfaction
    log_odds += 1.5 * (np.log1p(since) - 4) - 1.4 * (np.log(purchases) - 1.3) + 0.8 * returns
    return {
        "customer_id": f"C{10000 + number}",
        "signup_date": str(TODAY - timedelta(days=tenure)),
        "country": draw.among(list(COUNTRIES), list(COUNTRIES.values())),
        "age_group": draw.among(list(AGE_GROUPS), list(AGE_GROUPS.values())),
        "order_amount": f"{np.exp(3.9 + 0.55 * draw.random.randn()):.2f}",
        "num_purchases": purchases,
        "last_purchase_time": str(TODAY - timedelta(days=since)),
        "returns": returns,
        "newsletter": "yes" if draw.chance(0.4) else "no",
        "support_contacts": contacts,
        "feedback_text": feedback(draw, satisfaction),
        "is_churn": int(draw.chance(logistic(log_odds))),
    }


def feedback(draw: Draw, satisfaction: float) -> str:
    """Return what a customer of this satisfaction writes, of one thing they ordered."""
    slots = {name: draw.among(values) for name, values in SLOTS.items()}
    aspects = [name for name in REMARKS["any"] if name != "size" or slots["item"] in WORN]
    clauses: list[Clause] = []
    for _ in range(draw.among(range(6), [0.07, 0.28, 0.3, 0.2, 0.1, 0.05])):
        aspect = draw.among(aspects)
        aspects.remove(aspect)
        clauses.append(remark(draw, aspect, satisfaction))
    if len(clauses) < 2 or draw.chance(0.4):
        # five verdicts by satisfaction, the middle one for the middling
        grade = int(np.clip(round(2.3 + 1.2 * satisfaction + 0.5 * draw.random.randn()), 0, 4))
        tone = ("bad", "bad", "any", "good", "good")[grade]
        verdict = Clause(tone, draw.phrase(VERDICTS[grade]), alone=True)
        clauses.insert(0 if draw.chance(0.4) else len(clauses), verdict)
    if draw.chance(0.2):
        tone = clauses[-1].tone
        clauses.append(Clause(tone, draw.phrase(CLOSINGS[tone]), alone=True))
    opening = draw.phrase(OPENINGS) if draw.chance(0.3) else ""
    text = write(draw, opening, clauses)
    return mistype(draw, re.sub(r"\{(\w+)\}", lambda slot: slots[slot[1]], text))


def remark(draw: Draw, aspect: str, satisfaction: float) -> Clause:
    """Return a clause on the aspect: the happy complain too, and the unhappy praise."""
    if draw.chance(0.1):
        return Clause("any", draw.phrase(REMARKS["any"][aspect]))
    tone = "good" if draw.chance(logistic(0.5 + 2.8 * satisfaction)) else "bad"
    words = draw.phrase(REMARKS[tone][aspect])
    if draw.chance(0.15):
        return Clause(tone, f"{draw.phrase(LEADS[tone])} {words}")
    if draw.chance(0.3):
        return Clause(tone, f"{words}, {draw.phrase(TAILS[tone])}", alone=True)
    return Clause(tone, words)


def write(draw: Draw, opening: str, clauses: list[Clause]) -> str:
    """Join clauses to sentences of one or two: "but" where the tone changes, else "and"."""
    text, before, joined = opening, Clause("", ""), True
    for clause in clauses:
        turned = {clause.tone, before.tone} == {"good", "bad"}
        alike = clause.tone == before.tone and not (clause.alone or before.alone)
        if not joined and turned and draw.chance(0.6):
            text, joined = f"{text}, {draw.phrase(TURNS)} {clause.words}", True
        elif not joined and alike and draw.chance(0.3):
            text, joined = f"{text} and {clause.words}", True
        else:
            if before.words:
                text += "!" if before.tone != "any" and draw.chance(0.1) else "."
            inside = text.endswith((",", ":"))  # of the sentence that the opening began
            words = clause.words if inside else clause.words[0].upper() + clause.words[1:]
            text, joined = f"{text} {words}".strip(), False
        before = clause
    return text[0].upper() + text[1:] + draw.among([".", "", "!", "!!"], [0.72, 0.14, 0.11, 0.03])


def mistype(draw: Draw, text: str) -> str:
    """Return the text as a hurried few type it: in lower case, or with a slip or two."""
    if draw.chance(0.08):
        text = text.lower()
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long or not draw.chance(0.1):
        return text
    for _ in range(draw.among([1, 2])):
        place = draw.among(long)
        word = words[place]
        at = draw.among(range(1, len(word) - 2))
        slip = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        words[place] = slip if draw.chance(0.6) else word[:at] + word[at + 1 :]
    return " ".join(words)


def blank(draw: Draw, row: dict[str, str | int]) -> dict[str, str | int]:
    """Return the row with some of its values missing."""
    return {
        name: "" if name in BLANKS and draw.chance(BLANKS[name]) else value
        for name, value in row.items()
    }


def main() -> None:
    """Write the sample."""
    parser = argparse.ArgumentParser(description="Write the synthetic sample of an online shop.")
    parser.add_argument("--out", type=Path, default=OUT, help="the CSV file to write")
    parser.add_argument("--seed", type=int, default=5, help="another seed, another 600 customers")
    options = parser.parse_args()
    draw = Draw(options.seed)
    rows = [blank(draw, customer(draw, number)) for number in range(1, CUSTOMERS + 1)]
    with options.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
