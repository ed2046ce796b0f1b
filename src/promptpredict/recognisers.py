r"""What personal data looks like in text: presidio's recognisers, and patterns of our own beside them.

Knows patterns; knows nothing of records or placeholders. presidio finds telephone numbers, cards
and IBANs by their checksums and national formats. Its e-mail recogniser looks domains up in a list
that it would fetch from the network, and its pattern takes quadratic time in a long word: e-mails have
patterns here, as addresses, names behind a cue ("my name is …", "Dear …") and numbers behind a cue ("order
no. …") have.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from promptpredict.errors import DataError

# Regions whose national ways to write a telephone number are known; elsewhere it needs its +.
REGIONS = ("US", "CA", "GB", "IE", "AU", "NZ", "ZA", "IN", "DE", "AT", "CH", "FR", "BE", "NL", "ES",
           "PT", "IT", "BR", "MX", "PL", "SE")  # fmt: skip

# -- names: capitalised where the cue is weak, in any case behind a strong one -------------------
_LINK = r"(?:(?:van|von|der|den|de|del|della|da|di|du|la|le|bin|ibn|al|el)\s+){0,3}"
_CAPITAL = r"\p{Lu}(?:[\p{L}'’-]*\p{L})?"
# Words that open a sentence or a letter and are nobody's name.
_NOBODY = (
    r"(?!(?i:i|we|you|they|he|she|it|the|this|that|there|these|my|your|our|their|team|sir|sirs|madam|"
    r"support|services?|customers?|care|all|everyone|everybody|folks|friends|again|very|not|so|just|now|"
    r"please|thanks|thank|and|but|if|when|what|why|how|who|no|yes|manager|company|staff|hello|hi|dear|"
    r"a|an|in|on|at|from|with|for|to|of|or|is|was|will|sorry|still|really|never|always|glad|happy|angry|"
    r"disappointed|und|ich|aber|et|je|mais|y|pero|que|here|calling|writing|order|account|phone|e-?mail)\b)"
)
_INITIALS = r"(?:\p{Lu}\.\s?){0,3}"
_NAME = rf"{_INITIALS}{_NOBODY}{_CAPITAL}(?:\s+{_LINK}(?:{_NOBODY}{_CAPITAL}|\p{{Lu}})\b\.?){{0,3}}"
_NAMES = rf"{_INITIALS}{_LINK}{_NOBODY}{_CAPITAL}(?:\s+{_LINK}(?:{_NOBODY}{_CAPITAL}|\p{{Lu}})\b\.?){{1,3}}"
_ANY_CASE = (
    r"(?:\p{L}\.\s?){0,3}" + rf"{_NOBODY}[\p{{L}}'’-]+"
    rf"(?:\s+(?:\p{{L}}\.\s)?{_LINK}{_NOBODY}[\p{{L}}'’-]+){{0,2}}"
)
_CALLED = (  # somebody's name follows, whatever its case
    r"my name is|my name['’]s|name\s?[:-]|full (?:legal )?name|account holder|card holder|cardholder|"
    r"beneficiary|holder is|delete my data:|signed|(?:kind|best|warm)? ?regards|yours (?:truly|faithfully|"
    r"sincerely)|sincerely|ich hei(?:ß|ss)e|mein name ist|inhaber(?:in)?|gruß|grüße|grüßen|mfg|"
    r"je m['’]appelle|au nom de|cordialement|bien à vous|me llamo|titular|un saludo|saludos|mi chiamo|"
    r"mr|mrs|ms|mx|sra?|herrn?|frau|mme|mlle|señora?|signora?"
)
_MET = (  # somebody is often named behind it
    r"dear|spoke (?:to|with)|speaking (?:to|with)|talked (?:to|with)|served by|helped by|ask for|attn|"
    r"agent|advis[eo]r|representative|rep|technician|hi|hello|hey|hiya|called|named|miss|dr|prof|"
    r"monsieur|madame|on behalf of|soy|yes that['’]s me"
)
_MAYBE = (  # two words with capitals, or one that ends the line, are somebody behind it
    r"this is|i am|i['’]?m|its|it['’]s|myself|manager|colleague|wife|husband|thanks|thank you|ta|cheers|"
    r"best wishes|gracias|merci|danke"
)

# -- ids: behind a cue, or a code that is nothing else -------------------------------------------
_CUE_OF_CODE = (
    r"customer|cust|client|account|acct|a/c|contract|policy|order|invoice|ticket|case|claim|booking|passport|"
    r"licen[cs]e|membership|member|employee|patient|tax|reference|ref|réf|serial|tracking|parcel|loyalty|"
    r"confirmation|insurance|frequent flyer|user|pnr|imei|ssn|ni|dni|nie|nif|pan|aadhaa?r|meter|case|dossier|"
    r"commande|colis|cliente|pedido|factura|localizador|expediente|steuer|sécu|"
    r"(?:kunden|vertrags|rechnungs|bestell|ausweis|sendungs|zähler|sozialversicherungs)(?:nummer|nr\.?)?|"
    r"bestellung|vertrag|rechnung|sendung"
)
_NUMBER_OF = r"(?:\s?[-.]?\s?(?:number|no|nr|num|nummer|id|code|reference|ref|n°|nº|n\.º)\b?\.?)?"
# A piece with a digit, and further pieces with one; a letter may stand between them.
_PIECE = r"(?=[\p{L}_/-]*\d)[\p{L}\p{N}](?:[\p{L}\p{N}_/-]*[\p{L}\p{N}])?"
_CODE = rf"(?:{_PIECE})(?:\s(?:\p{{L}}\s)?(?=[\p{{L}}-]*\d){_PIECE}){{0,6}}(?:\s[A-Za-z]\b)?"

# -- addresses: a number and a road, either way round --------------------------------------------
_HOUSE = r"\d{1,5}(?:\s?(?:bis|ter|[A-Za-z])\b)?(?:\s?[-–/]\s?\d{1,4})?"
_NO_ROAD = (
    r"(?!(?:the|of|and|no|in|on|my|a|an|to|down|up|from|off|per|for|at|with|hours?|hrs?|days?|weeks?|minutes?|"
    r"mins?|months?|miles?|km|years?|times?|stars?|people|euros?|bucks|dollars|pounds|percent|i|you|we|"
    r"is|was|gb|mbit)\b)"
)
_ROAD = (
    r"street|str|avenue|ave|road|rd|lane|ln|boulevard|blvd|crescent|cres|terrace|gardens|gdns|mews|trail|"
    r"circle|cir|parkway|pkwy|highway|hwy"
)
_CAPITAL_ROAD = r"St|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Way|Close|Row|Main|Cross|Walk|Grove|Hill"
_CITY = rf"{_CAPITAL}(?:\s{_CAPITAL}){{0,2}}"
_TAIL = (
    r"(?:,?\s(?:apt|apartment|unit|suite|ste|flat|floor|#)\.?\s?\w+)?"
    rf"(?-i:(?:,\s{_CITY})?(?:,?\s[A-Z]{{2}},?\s\d{{5}}(?:-\d{{4}})?|,?\s[A-Z]{{1,2}}\d[A-Z\d]?\s?\d[A-Z]{{2}}\b)?)"
)
_STREET = r"\p{L}+(?:straße|strasse|str\.|weg|gasse|allee|platz|ufer|damm)"
_RUE = r"(?:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|allée|quai)"
_CALLE = r"(?:calle|c/|avenida|avda?\.?|plaza|paseo|via|viale|piazza|corso|rua)"
_OF = r"(?:(?:de|del|della|du|des|la|las|le|les|los|da|do)\s|[dl]['’])*"
_ZIP_CITY = rf"(?-i:(?:,?\s(?:[A-Z]-)?\d{{4,5}}\s{_CITY})?)"

_IBAN_OF = (
    r"(?:AD|AE|AT|BE|BG|CH|CY|CZ|DE|DK|EE|ES|FI|FR|GB|GR|HR|HU|IE|IS|IT|LI|LT|LU|LV|MC|MT|NL|NO|PL|PT|"
    r"RO|RS|SA|SE|SI|SK|SM|TR|UA)"
)

_DIGITS = re.compile(r"(?<!\d)\d(?:[ .-]{0,3}\d){12,18}(?!\d)", re.ASCII)

_LONG = re.compile(r"(?:\d\W{0,3}){6}\d")
_DATE = re.compile(  # which a number may look like, and so may a version or a postcode
    r"\d{1,2}([./-])\d{1,2}\1(?:19|20)?\d\d|(?:19|20)\d\d([./-]?)\d{1,2}\2\d{1,2}"
    r"|\d{1,2}[ -]?[a-z]{3,9}[ -]?(?:19|20)?\d\d|\d{5}[.-]\d{4}",
    re.IGNORECASE,
)

# What stands in front of an @: from the beginning of a word and of bounded length, or one long word
# would be gone through from each of its letters.
_LOCAL = r"(?<!\w)\w[\w.!#$%'*+^`~-]{0,255}+"

# kind → (pattern, whether letters may be of either case)
PATTERNS: dict[str, list[tuple[str, bool]]] = {
    "email": [
        (rf"{_LOCAL}\s?[(\[{{]\s?(?:at|a)\s?[)\]}}]\s?[\w-]+(?:\s?(?:\.|[(\[{{]\s?dot\s?[)\]}}])\s?[\w-]+)+", True),
        (rf"{_LOCAL}\sat\s[\w-]+(?:\sdot\s[\w-]+)+", True),
        (rf"{_LOCAL}\s?(?:@|&\#0?64;)\s?[\w-]+(?:\.[\w-]+)*", True),  # of a host without a dot, too
        (r"(?<!\w)\w[\w.+-]{0,255}+%40[\w-]+(?:\.[\w-]+)+", True),  # in an address of the web
    ],
    "card": [
        (r"(?<![\d-])\d{4}([ .-]{1,2})\d{4}\1\d{4}\1\d{4}(?![\d-])", True),  # with a slip, too
        (r"(?<![\d-])3[47]\d\d([ .-]{1,3})\d{6}\1\d{5}(?![\d-])", True),
    ],
    "iban": [
        (rf"\b{_IBAN_OF}[ -]?\d{{2}}[ .-]?[A-Z0-9]{{4}}(?:[ .-]?(?=[A-Z]{{0,3}}\d)[A-Z0-9]{{4}}){{1,6}}"
         r"(?:[ .-]?(?=[A-Z]{0,2}\d)[A-Z0-9]{1,3})?\b", True),
    ],
    "phone": [
        (r"(?<![\w+])\+\d(?:[ ./()-]{0,2}\d){7,14}(?!\d)", True),
        (r"(?<=\b(?:tel|telephone|phone|mobile|cell|fax|whatsapp|call|ring|text|telefon|handy|my number|"
         r"wife['’]s|reach me)(?:\s(?:me|us|is|no|nr|number|on|at|under))*[.:,]?\s?)"
         r"\(?[o\d](?:[ ./()-]{0,2}\d){6,13}(?!\d)", True),
    ],
    "id": [
        (rf"(?<=\b(?:{_CUE_OF_CODE}){_NUMBER_OF}\s?(?:is|was|ist|es|:|\#|=)?\s{{0,2}}\#?){_CODE}(?![\w])", True),
        (r"(?<=\b(?:id|number|no|nr|nº de cliente|n°|nº|quote)\.?\s?[:#]?\s)(?=(?:[\p{L}/_-]*\d){4})"
         rf"{_CODE}(?!\w)", True),
        (r"(?<!\w)\#[\p{L}\p{N}-]*\d[\p{L}\p{N}-]{2,}\b", True),
        # A code of letters and five digits, as seven digits in a row or in groups, is nobody's word.
        (r"(?<![\w.,-])(?!\d+(?:[x-]\d+)+(?:\p{L}{0,2})\b)(?=[\p{N}_/-]{0,40}\p{L})(?=(?:[\p{L}_/-]{0,40}\d){5})[\p{L}\p{N}]+(?:[_/-][\p{L}\p{N}]+)*(?![\w-])", True),
        (r"\b\d{3}[- .]\d{2}[- .]\d{4}\b", True),  # social security of the USA
        (r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d\d[ -]?\d\d[ -]?\d\d[ -]?[A-D]\b", True),  # of the UK
        (r"\b(?:[XYZ]-?)?\d{7,8}[- ]?[A-HJ-NP-TV-Z]\b", False),  # of Spain
        (r"\b[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]\b", False),  # of Italy
    ],
    "digits": [  # an id, unless they are written as a telephone number is
        (r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", True),  # of a computer
        (r"(?<![\w.,:/-])\d{7,}(?![.,:/-]?\d|\w)", True),
        (r"(?<![\w.,-])\d{2,}(?:-\d{2,}){2,}(?:-\d)?(?![.,-]?\d|\w)", True),
    ],
    "address": [
        (rf"\b{_HOUSE},?\s(?:{_NO_ROAD}[\p{{L}}\d'’.-]+\s){{1,4}}(?:{_ROAD})\b\.?{_TAIL}", True),
        (rf"\b(?:{_HOUSE}),?\s(?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th|ST|ND|RD|TH)|[NSEW]{{1,2}}\.?)\s){{1,4}}"
         rf"(?:{_CAPITAL_ROAD}|ST|DR|CT|PL)\b\.?(?i:{_TAIL})", False),
        (rf"\b\d{{1,5}}\s(?:[nsew]{{1,2}}\.?\s)?\d{{1,3}}(?:st|nd|rd|th)\s(?:{_ROAD}|dr|pl|ct|st|way)\b\.?{_TAIL}", True),
        (rf"(?<!\w)(?:\p{{L}}+\s)?(?:{_STREET})\s{_HOUSE}(?!\w){_ZIP_CITY}", True),
        (rf"\b{_HOUSE},?\s{_RUE}\s{_OF}[\p{{L}}'’-]+(?:-[\p{{L}}]+)*(?-i:(?:\s{_CAPITAL}){{0,2}}){_ZIP_CITY}", True),
        (rf"\b{_CALLE}\s{_OF}[\p{{L}}'’]+(?:\s[\p{{L}}'’]+){{0,2}},?\s(?:n\.?\s?[º°o]\s?)?{_HOUSE}(?!\w){_ZIP_CITY}", True),
        (r"\bp\.?\s?o\.?\s?box\s\d+", True),
        (r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b", False),
        (rf"\b{_CITY},?\s[A-Z]{{2}},?\s\d{{5}}(?:-\d{{4}})?\b", False),
        (rf"(?<=,\s)(?:[A-Z]-)?\d{{5}}\s{_CAPITAL}\b", False),
    ],
    "name": [
        (rf"(?<=\b(?:{_CALLED})[.,:!]{{0,2}}\s{{1,3}}){_ANY_CASE}", True),
        (rf"(?<=\b(?i:{_MET})[.,:]{{0,2}}\s{{1,2}})(?:{_NAMES}|{_NAME}(?=\s?[\s,.!?;:)]|$))", False),
        (rf"(?<=\b(?i:{_MAYBE})[.,:!]{{0,2}}\s{{1,2}})(?:{_NAMES}|{_NAME}(?=\s?[^\w\s.]*\s*$))", False),
        (rf"(?<=\b(?i:i),\s){_ANY_CASE}(?=,\s(?i:hereby))", False),
        (rf"(?<=[.!?]\s|\n|^-- ?\n|[-–]\s){_NAMES}(?=\s?[^\w\s]*\s*$)", False),  # a line of its own
        (rf"{_NAMES}(?=\s?[|<]\s?[^\s@]+\s?[@(\[])", False),  # in front of an address
        (rf"(?<=\n\s{{0,2}}){_NAME}(?=\s?[^\w\s]*\s*$)", False),
    ],
}  # fmt: skip


class Span(NamedTuple):
    """Where in a text which kind of personal data stands: from ``start`` up to ``end``."""

    start: int
    end: int
    kind: str


Recogniser = Callable[[str], Iterator[Span]]


def recognisers() -> list[Recogniser]:
    """Return what finds personal data by patterns. Raises DataError where presidio is not installed."""
    try:
        with _no_trial_of_ipv6():
            import presidio_analyzer  # noqa: F401
        from presidio_analyzer import Pattern, PatternRecognizer
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            IbanRecognizer,
            PhoneRecognizer,
        )
    except ImportError:
        raise DataError(
            "--redact needs presidio-analyzer, which is not installed; possible: "
            "pip install 'promptpredict[private]'"
        ) from None
    import regex

    found: list[Recogniser] = [
        _recogniser("card", CreditCardRecognizer()),
        _cards,
        _recogniser("iban", IbanRecognizer()),
        _recogniser("phone", PhoneRecognizer(supported_regions=REGIONS), least=7),
    ]
    flags = regex.MULTILINE
    for kind, patterns in PATTERNS.items():
        for either, more in ((True, regex.IGNORECASE), (False, 0)):
            own = [Pattern(kind, text, 0.5) for text, any_case in patterns if any_case is either]
            if own:
                by = PatternRecognizer(kind, patterns=own, global_regex_flags=flags | more)
                found.append(_recogniser(kind, by))
    return found


def _cards(text: str) -> Iterator[Span]:
    """Find what has a card's digits and their checksum, however they are set apart."""
    for found in _DIGITS.finditer(text):
        digits = [int(digit) for digit in found[0] if digit.isdigit()]
        if 13 <= len(digits) <= 19 and sum(_luhn(digits)) % 10 == 0 and len(set(digits)) > 1:
            yield Span(found.start(), found.end(), "card")


def _luhn(digits: list[int]) -> Iterator[int]:
    for at, digit in enumerate(reversed(digits)):
        yield digit if at % 2 == 0 else 2 * digit - 9 * (digit > 4)


@contextmanager
def _no_trial_of_ipv6() -> Iterator[None]:
    """Import what imports urllib3, which else opens a socket to find out whether there is IPv6."""
    before, socket.has_ipv6 = socket.has_ipv6, False
    try:
        yield
    finally:
        socket.has_ipv6 = before


def _recogniser(kind: str, of: Any, *, least: int = 0) -> Recogniser:
    """Return what presidio's recogniser finds, of ``least`` digits or more."""

    def find(text: str) -> Iterator[Span]:
        if least and not _LONG.search(text):  # the matcher of 21 regions is slow
            return
        for result in of.analyze(text, of.supported_entities, None):
            found = text[result.start : result.end]
            if not _DATE.fullmatch(found) and sum(map(str.isdigit, found)) >= least:
                yield Span(result.start, result.end, kind)

    return find


def named_entities() -> Iterator[Recogniser]:
    """Yield what finds names by a model of spaCy, where one is installed; none is downloaded."""
    import spacy

    for name in spacy.util.get_installed_models():
        model = spacy.load(name, disable=["tagger", "parser", "lemmatizer", "attribute_ruler"])
        if "ner" not in model.pipe_names and "entity_ruler" not in model.pipe_names:
            continue

        def find(text: str, model: Any = model) -> Iterator[Span]:
            for entity in model(text).ents:
                if entity.label_ in ("PERSON", "PER"):
                    yield Span(entity.start_char, entity.end_char, "name")
                elif entity.label_ in ("FAC", "ADDRESS"):
                    yield Span(entity.start_char, entity.end_char, "address")

        yield find
