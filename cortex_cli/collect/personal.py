"""Personal data that has a form: addresses of mail and machines, numbers with check digits, telephones.

What has no form (names, places, organisations, postal addresses, most dates) is the tagger's part.
"""

import ipaddress
import re

from cortex_cli.collect.patterns import CAPITAL, COLONS, DIGITS, DOTTED, Rule

__all__ = ["PERSONAL", "STRICT"]

# Name servers that are asked by everybody.
_PUBLIC = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"}


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _if_card(text: str) -> int:
    # Only Maestro (50, 56 to 69) has numbers of 12 digits, UnionPay of 19.
    digits = _digits(text)
    least = 12 if digits[0] in "56" else 13
    return len(text) if least <= len(digits) <= 19 and _luhn(digits) else 0


def _luhn(digits: str) -> bool:
    # ISO/IEC 7812-1, annex B.
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def _if_iban(text: str) -> int:
    # Words may follow the last group: give up groups until the check sum holds. One reading in 97 holds by chance,
    # so the one that ends with a digit comes first.
    lengths = [len(text), *(place for place, sign in enumerate(text) if sign == " ")]
    ends = sorted((end for end in lengths if end >= 15), key=lambda end: (not text[end - 1].isdigit(), -end))
    return next((end for end in ends if _holds(text[:end].replace(" ", ""))), 0)


def _holds(plain: str) -> bool:
    number = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
    return int(number) % 97 == 1  # ISO 13616, check digits by ISO 7064 MOD 97-10


def _if_phone(text: str) -> int:
    return len(text) if 8 <= len(_digits(text)) <= 20 else 0


def _if_national(text: str) -> int:
    # Nine digits at least, so that 01-02-2026 stays a date.
    return len(text) if 9 <= len(_digits(text)) <= 14 else 0


def _if_called(text: str) -> int:
    return len(text) if 7 <= len(_digits(text)) <= 15 else 0


def _if_address(text: str) -> int:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0
    # Of everybody's machine, of none, and net masks: they tell nothing about a person.
    common = address.is_loopback or address.is_unspecified or text.startswith(("255.", "0.")) or text in _PUBLIC
    return 0 if common else len(text)


def _if_address_six(text: str) -> int:
    groups = [group for group in text.split(":") if group]
    return _if_address(text) if len(groups) >= 3 and any(group.isdigit() for group in groups) else 0


_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?)[ ]?\d{1,6})?"
_GROUPS = r"(?:[ ./-]{1,2}\d{1,8}|[ ./-]{0,2}\(\d{1,5}\)[ ./-]{0,2}\d{0,8}){0,7}"
_BEFORE, _AFTER = r"(?<![\w.+-])", r"(?![\w-]|[.,]\d)"
_DAY = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th)? (?:of )?[A-Z][a-z]{2,8},? \d{2,4}|[A-Z][a-z]{2,8} \d{1,2}(?:st|nd|rd|th)?,? \d{2,4}"

PERSONAL = (
    Rule(
        "EMAIL",
        re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        ("@",),
    ),
    # Before cards: a plus says more than a check digit that fits by chance.
    Rule(
        "PHONE",
        re.compile(rf"{_BEFORE}\+\d{{1,15}}{_GROUPS}{_EXTENSION}(?![\w-])"),
        (DIGITS,),
        _if_phone,
    ),
    Rule(
        "IBAN",
        re.compile(r"(?<!\w)[A-Za-z]{2}[0-9]{2}(?:[ ]?[A-Za-z0-9]{4}){2,7}(?:[ ]?[A-Za-z0-9]{1,4})?(?!\w)"),
        (DIGITS,),
        _if_iban,
    ),
    Rule(
        "CARD",
        re.compile(
            r"(?<![\w.+-])(?:2[1-7]\d\d|[3-6]\d{3}|180\d)(?:\d{8,15}|(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|[ -]\d{6}[ -]\d{4,5})(?![\w-])"
        ),
        (DIGITS,),
        _if_card,
    ),
    Rule("SSN", re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"), (DIGITS,)),
    Rule(
        "SSN",
        re.compile(r"(?i)(?:\bssn|social security(?: number| no\.?)?)[^\d\n]{0,12}(\d{3}[ -]?\d\d[ -]?\d{4})(?!\w)"),
        ("ssn", "social"),
    ),
    Rule("IP", re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?!\.?\w)"), (DOTTED,), _if_address),
    Rule("MAC", re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])"), (COLONS,)),
    Rule(
        "IP", re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"), (COLONS,), _if_address_six
    ),
    Rule(
        "PHONE",
        re.compile(
            rf"{_BEFORE}(?:1[ .-])?(?:\(\d{{1,5}}\)[ .-]?\d{{2,4}}(?:[ .-]?\d{{2,4}}){{1,3}}|\d{{3}}[ .-]\d{{3}}[ .-]\d{{4}}){_EXTENSION}{_AFTER}"
        ),
        (DIGITS,),
        _if_phone,
    ),
    Rule("PHONE", re.compile(rf"{_BEFORE}00[1-9]\d{{0,13}}{_GROUPS}{_EXTENSION}(?![\w-])"), (DIGITS,), _if_phone),
    # National form with the trunk prefix.
    Rule(
        "PHONE",
        re.compile(rf"{_BEFORE}(?:\(0\d{{1,4}}\)|0\d{{1,4}})(?:[ /-]\d{{2,4}}){{2,4}}{_EXTENSION}{_AFTER}"),
        (DIGITS,),
        _if_national,
    ),
    Rule("PHONE", re.compile(rf"{_BEFORE}0\d{{2,4}}[ /-]\d{{6,8}}{_EXTENSION}{_AFTER}"), (DIGITS,), _if_national),
    Rule("PHONE", re.compile(rf"{_BEFORE}0\d(?:\.\d\d){{4}}{_AFTER}"), (DIGITS,)),
    # Any form will do where somebody says that it is one.
    Rule(
        "PHONE",
        re.compile(
            r"(?i)(?<![a-z])(?:tel|telephone|phone|mobile|cell|fax|call|whatsapp|sms|dial|ring)(?![a-z])[^\n\d+(<]{0,25}"
            rf"(?!\d{{4}}-\d\d-\d\d)([+(]?\d[\d ().-]{{5,18}}\d{_EXTENSION})(?![\w-]|[.,]\d)"
        ),
        (DIGITS,),
        _if_called,
    ),
    Rule(
        "DATE",
        re.compile(rf"(?i:(?<![a-z])(?:born|birth|birthday|dob)(?![a-z]))[^\n\d]{{0,25}}?({_DAY})(?!\w)"),
        ("born", "birth", "dob"),
    ),
    Rule(
        "HANDLE",
        re.compile(
            r"(?i)(?:linkedin\.com/in|facebook\.com|instagram\.com|twitter\.com|tiktok\.com)/(?!search|share|intent|hashtag|login|home)(@?[\w.-]{3,60})"
        ),
        ("linkedin.com", "facebook.com", "instagram.com", "twitter.com", "tiktok.com"),
    ),
)

# Damages arithmetic and code (16 % of clean GSM8K answers hold such a number), hence by choice only.
STRICT = (
    Rule("USER", re.compile(r"/(?:home|Users)/([A-Za-z0-9._-]{1,64})"), ("/home/", "/users/")),
    Rule("HANDLE", re.compile(r"(?<![\w@/.])@[A-Za-z_][\w-]{1,63}"), ("@",)),
    Rule("NUMBER", re.compile(r"(?<![\w.])\d(?:[ ./-]?\d){6,40}(?!\w)"), (DIGITS,)),
    # A capital inside a sentence is a name until somebody says that it is not.
    Rule("NAME", re.compile(r"(?<=[a-z,;] )[A-Z][^\W\dA-Z_]+(?:[ -][A-Z][^\W\dA-Z_]+){0,5}(?!\w)"), (CAPITAL,)),
)
