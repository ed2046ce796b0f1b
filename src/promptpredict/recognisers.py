r"""What personal data looks like in text: presidio's recognisers, and patterns of our own beside them.

Knows patterns; knows nothing of records or placeholders. presidio finds telephone numbers, cards
and IBANs by their checksums and national formats. Its e-mail recogniser looks domains up in a list
that it would fetch from the network, so only its pattern is taken. Addresses, names behind a cue
("my name is …", "Dear …") and numbers behind a cue ("order no. …") have patterns here.
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

_WORD = r"\p{Lu}[\p{L}'’-]*\p{L}"
_LINK = r"(?:(?:van|von|der|den|de|del|della|da|di|du|la|le|bin|ibn|al|el)\s+)*"
# Words that open a sentence or a letter and are nobody's name.
_NOBODY = (
    r"(?!(?:I|We|You|They|He|She|It|The|This|That|There|These|My|Your|Our|Their|Team|Sir|Sirs|Madam|"
    r"Support|Service|Services|Customer|Customers|Care|All|Everyone|Everybody|Folks|Friends|Again|"
    r"Very|Not|So|Just|Now|Please|Thanks|Thank|And|But|If|When|What|Why|How|Who|No|Yes|Manager|"
    r"Company|Staff|Hello|Hi|Dear|Mr|Mrs|Ms|Dr)\b)"
)
_ONE = rf"{_NOBODY}{_WORD}"
_MORE = rf"(?:\s+{_LINK}(?:{_NOBODY}{_WORD}|\p{{Lu}}\.)){{1,3}}"
_CODE = r"[\p{L}\p{N}](?:[\p{L}\p{N}/-]*[\p{L}\p{N}])?"
_CUE_OF_CODE = (
    r"customer|client|account|acct|contract|policy|order|invoice|ticket|case|claim|booking|passport|"
    r"licen[cs]e|membership|member|employee|patient|tax|reference|ref|serial|tracking|confirmation|"
    r"insurance|Kunden|Vertrags|Rechnungs|Bestell|Ausweis|kunde|vertrag"
)
_CITY = rf"{_WORD}(?:\s{_WORD}){{0,2}}"
_ROADS = (
    r"Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Way|Close|Crescent|Parkway|Pkwy|Highway|Hwy|Row|Gardens|Mews"
)
_TAIL = (
    rf"(?:,?\s(?:Apt|Apartment|Unit|Suite|Flat|Floor|#)\.?\s?\w+)?(?:,\s{_CITY})?"
    r"(?:,?\s[A-Z]{2}\s\d{5}(?:-\d{4})?|,?\s[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2})?"
)

_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([./-])\d{1,2}\2\d{1,2}")

# kind → (pattern, whether letters may be of either case)
PATTERNS: dict[str, list[tuple[str, bool]]] = {
    "email": [
        (r"[\w.+%-]+\s?[(\[{]\s?at\s?[)\]}]\s?[\w-]+(?:\s?(?:\.|[(\[{]\s?dot\s?[)\]}])\s?[\w-]+)+", True),
        (r"[\w.+%-]+\sat\s[\w-]+(?:\sdot\s[\w-]+)+", True),
        (r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*", True),  # of a host without a dot, too
    ],
    "card": [(r"(?<![\d-])\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?![\d-])", True)],  # with a slip, too
    "iban": [(r"\b[A-Z]{2}\d{2}(?: ?\d{4}){3,6}(?: ?\d{1,3})?\b", False)],
    "phone": [
        (r"(?<![\w+])\+\d(?:[ ./()-]{0,2}\d){7,14}(?!\d)", True),
        (r"(?<=\b(?:tel|telephone|phone|mobile|cell|fax|whatsapp|call|ring|text|telefon|handy)"
         r"(?:\s(?:me|us|is|no|nr|number|on|at|under))*[.:]?\s?)\(?\d(?:[ ./()-]{0,2}\d){6,13}(?!\d)", True),
    ],
    "id": [
        (r"(?<=\b(?:" + _CUE_OF_CODE + r")\s?-?(?:number|no|nr|num|nummer|id|code|reference|ref)\b"
         rf"\.?\s?(?:is|was|:|#|=)?\s?)(?=[\p{{L}}/-]*\d){_CODE}(?!\w)", True),
        (r"(?<=\b(?:" + _CUE_OF_CODE + r"|id)\s?(?::|\#)\s?)"
         rf"(?=[\p{{L}}/-]*\d){_CODE}(?!\w)", True),
        (r"(?<=\b(?:" + _CUE_OF_CODE + rf")\s)(?=(?:[\p{{L}}/-]*\d){{5}}){_CODE}(?!\w)", True),
        (r"(?<!\w)\#\d{5,}\b", True),
        (r"\b\p{Lu}{2,4}-?\d{6,}\b", False),
        (r"\b\d{3}[- .]\d{2}[- .]\d{4}\b", True),  # social security of the USA
        (r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]\b", False),  # of the UK
        (r"\b\d{7,8}-?[A-HJ-NP-TV-Z]\b", False),  # of Spain
        (r"\b[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]\b", False),  # of Italy
    ],
    "address": [
        (rf"\b\d{{1,5}}[A-Za-z]?\s(?:{_WORD}\s|\d{{1,3}}(?:st|nd|rd|th)\s|[NSEW]\.?\s){{1,4}}"
         rf"(?:{_ROADS})\b\.?{_TAIL}", False),
        (r"\b(?:\p{Lu}[\p{L}-]*\s?(?i:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer))\s"
         rf"\d{{1,4}}\s?[a-h]?\b(?:,?\s\d{{4,5}}\s{_CITY})?", False),
        (r"\b\d{1,4}(?:\s?(?:bis|ter))?,?\s(?i:rue|avenue|boulevard|place|chemin|impasse|allée|quai)\s"
         rf"(?:(?:de|du|des|la|le|les)\s|[dl]['’])*{_CITY}(?:,?\s\d{{5}}\s{_CITY})?", False),
        (r"\b(?:Calle|Avenida|Plaza|Paseo|Via|Viale|Piazza|Corso|Rua)\s"
         rf"(?:(?:de|del|della|la|las|los|da|do)\s)*{_CITY},?\s\d{{1,4}}\b(?:,?\s\d{{5}}\s{_CITY})?", False),
        (r"\bp\.?\s?o\.?\s?box\s\d+", True),
        (r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b", False),
        (rf"\b{_CITY},\s[A-Z]{{2}}\s\d{{5}}(?:-\d{{4}})?\b", False),
        (rf"(?<=,\s)\d{{5}}\s{_WORD}\b", False),
    ],
    "name": [
        (r"(?<=\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Herrn|Mme|Mlle|Monsieur|Madame|Señora?|Sra?|"
         rf"Signora?)\.?\s){_NOBODY}{_WORD}(?:{_MORE})?", False),
        (r"(?<=\b(?i:my name is|my name['’]s|name\s?:|i am called|signed|spoke (?:to|with)|speaking (?:to|with)|"
         r"talked (?:to|with)|served by|helped by|ask for|contact person is|attn\.?:?|dear|"
         rf"ich heiße|mein name ist|je m['’]appelle|me llamo|mi chiamo),?\s){_ONE}(?:{_MORE})?", False),
        (r"(?<=\b(?i:this is|i am|i['’]m|agent|advis[eo]r|representative|rep|manager|technician|colleague|"
         rf"wife|husband|hi|hello|hey|lady called|man called|named),?\s){_ONE}{_MORE}", False),
        (r"(?<=\b(?i:agent|advis[eo]r|representative|technician|hi|hello|hey|lady called|man called|named),?\s)"
         rf"{_ONE}(?=[\s,.!?;:]|$)", False),
        (r"(?<=\b(?i:regards|sincerely|thanks|thank you|cheers|best wishes|yours|truly|faithfully|grüße|grüßen|"
         rf"cordialement|saludos|saluti)[,.!]?\s{{1,3}}){_ONE}(?:{_MORE})?(?=\s*\.?\s*$)", False),
    ],
}  # fmt: skip


class Span(NamedTuple):
    """Where in a text which kind of personal data stands: from ``start`` up to ``end``."""

    start: int
    end: int
    kind: str


Recogniser = Callable[[str], Iterator[Span]]


def recognisers() -> list[Recogniser]:
    """Return what finds personal data in a text. Raises DataError where presidio is not installed."""
    try:
        with _no_trial_of_ipv6():
            import presidio_analyzer  # noqa: F401
        from presidio_analyzer import Pattern, PatternRecognizer
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            EmailRecognizer,
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
        _recogniser("email", PatternRecognizer("email", patterns=EmailRecognizer.PATTERNS)),
        _recogniser("card", CreditCardRecognizer()),
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
    return [*found, *_named_entities()]


@contextmanager
def _no_trial_of_ipv6() -> Iterator[None]:
    """Import what imports urllib3, which else opens a socket to find out whether there is IPv6."""
    before, socket.has_ipv6 = socket.has_ipv6, False
    try:
        yield
    finally:
        socket.has_ipv6 = before


def _recogniser(kind: str, of: Any, *, least: int = 0) -> Recogniser:
    """Return what presidio's recogniser finds; a text with fewer than ``least`` digits holds none."""

    def find(text: str) -> Iterator[Span]:
        if least and sum(map(str.isdigit, text)) < least:
            return
        for result in of.analyze(text, of.supported_entities, None):
            if not _DATE.fullmatch(text[result.start : result.end]):  # which a number may look like
                yield Span(result.start, result.end, kind)

    return find


def _named_entities() -> Iterator[Recogniser]:
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
