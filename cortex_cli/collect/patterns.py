"""The rules of redaction: what a secret and what personal data look like, and the checks that spare the rest.

Every pattern is bounded, so that no text makes it slow, and has keywords or hints of which one must be
in the text before the pattern is tried at all: trying all of them takes ten times as long as looking.
"""

import ipaddress
import re
from collections.abc import Callable, Collection
from typing import NamedTuple

__all__ = ["HINTS", "PERSONAL", "SECRETS", "SECRET_KEY", "STRICT", "Rule", "find_hints"]

# A hint stands among a rule's keywords; it is in a text where its pattern is found.
_DIGITS, _DOTTED, _COLONS = "<digits>", "<dotted>", "<colons>"
HINTS = {
    _DIGITS: re.compile(r"\d(?:[ ./()-]{0,3}\d){6}"),
    _DOTTED: re.compile(r"\d\.\d{1,3}\.\d"),
    _COLONS: re.compile(r"[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:"),
}


class Rule(NamedTuple):
    """One rule: the *kind* of its placeholder, the pattern, keywords and hints, and a check of what matched.

    The pattern's last group, or all of it, is what is masked. *accept* returns how many of its
    characters, from the first, are to be masked; 0 spares it.
    """

    kind: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...]
    accept: Callable[[str], int] = len


def find_hints(text: str, keywords: Collection[str]) -> set[str]:
    """Return those of *keywords* that are in *text* in any case, and the hints that it gives."""
    lowered = text.lower()
    found = {keyword for keyword in keywords if keyword in lowered}
    return found.union(hint for hint, pattern in HINTS.items() if pattern.search(text))


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _if_digit(text: str) -> int:
    return len(text) if any(character.isdigit() for character in text) else 0


def _if_value(text: str) -> int:
    # Variables, templates and what was masked before are no secrets; nor are the words of a settings file.
    if text[0] in "$%{<*" or text.lower() in {"true", "false", "none", "null", "string", "required", "optional"}:
        return 0
    return len(text)


def _if_card(text: str) -> int:
    # Maestro has numbers of 12 digits, UnionPay of 19.
    digits = _digits(text)
    return len(text) if 12 <= len(digits) <= 19 and _luhn(digits) else 0


def _luhn(digits: str) -> bool:
    # ISO/IEC 7812-1, annex B.
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def _if_iban(text: str) -> int:
    # A capitalised word may follow the last group: give up groups until the check sum holds.
    while len(text) >= 15:
        plain = text.replace(" ", "")
        number = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
        if int(number) % 97 == 1:  # ISO 13616, check digits by ISO 7064 MOD 97-10
            return len(text)
        text = text.rpartition(" ")[0]
    return 0


def _if_phone(text: str) -> int:
    return len(text) if 8 <= len(_digits(text)) <= 17 else 0


def _if_national(text: str) -> int:
    # Nine digits at least, so that 01-02-2026 stays a date.
    return len(text) if 9 <= len(_digits(text)) <= 12 else 0


def _if_address(text: str) -> int:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0
    # Of everybody's machine, of none, and net masks: they tell nothing about a person.
    common = address.is_loopback or address.is_unspecified or text.startswith(("255.", "0."))
    return 0 if common else len(text)


def _if_address_six(text: str) -> int:
    groups = [group for group in text.split(":") if group]
    return _if_address(text) if len(groups) >= 3 and any(group.isdigit() for group in groups) else 0


_NAMES = (
    r"pass(?:word|wd|phrase)?|pwd|secret(?:[_-]?key)?|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|token"
)
_SEPARATOR = r"[\"']?[ \t]{0,3}(?::=|=>|=|:)[ \t]{0,3}"
_VALUE = r"[^\s\"'<>,;&|(){}\[\]\\]"
_ASSIGNED = ("pass", "pwd", "secret", "key", "token")

# Whether the name of a field says that its value is a secret, as in {"password": "..."}.
SECRET_KEY = re.compile(rf"(?i)(?:^|[._-])(?:{_NAMES})$")

# Of our own writing; key forms from the documentation of their issuers.
SECRETS = (
    Rule(
        "PRIVATE_KEY",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?"
        ),
        ("private key-----",),
    ),
    Rule("API_KEY", re.compile(r"\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{20,200}"), ("sk-", "sk_", "rk_", "pk_")),
    Rule("API_KEY", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,255}"), ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    Rule("API_KEY", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{22,255}"), ("github_pat_",)),
    Rule("API_KEY", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,64}"), ("glpat-",)),
    Rule("API_KEY", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), ("akia", "asia")),
    Rule("API_KEY", re.compile(r"\bAIza[A-Za-z0-9_-]{35}"), ("aiza",)),
    Rule("API_KEY", re.compile(r"\bhf_[A-Za-z0-9]{30,64}\b"), ("hf_",)),
    Rule("API_KEY", re.compile(r"\bxox[abeposr]-[A-Za-z0-9-]{10,255}"), ("xox",)),
    Rule(
        "TOKEN",
        re.compile(r"\beyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,4000}"),
        ("eyj",),
    ),
    Rule(
        "TOKEN",
        re.compile(r"(?i)\b(?:bearer|basic)[ \t]{1,3}([A-Za-z0-9._~+/-]{16,4000}={0,2})"),
        ("bearer", "basic"),
        _if_digit,
    ),
    Rule("PASSWORD", re.compile(r"://[^\s/:@\"']{1,100}:([^\s/@\"'<>]{1,200})@"), ("://",), _if_value),
    Rule("PASSWORD", re.compile(rf"(?i)(?:{_NAMES}){_SEPARATOR}[\"']({_VALUE}{{4,400}})[\"']"), _ASSIGNED, _if_value),
    Rule(
        "PASSWORD", re.compile(rf"(?i)(?:{_NAMES})[ \t]{{0,3}}=[ \t]{{0,3}}({_VALUE}{{4,400}})"), _ASSIGNED, _if_value
    ),
    # After a colon stands prose as often as a secret, so a digit is asked for.
    Rule("PASSWORD", re.compile(rf"(?i)(?:{_NAMES}):[ \t]{{0,3}}({_VALUE}{{6,400}})"), _ASSIGNED, _if_digit),
)

_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_EXTENSION = r"(?:[ ,]{0,2}(?:x|ext\.?)[ ]?\d{1,6})?"

PERSONAL = (
    Rule(
        "EMAIL",
        re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        ("@",),
    ),
    Rule(
        "IBAN",
        re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?(?!\w)"),
        (_DIGITS,),
        _if_iban,
    ),
    Rule("CARD", re.compile(r"(?<![\w.-])(?:[2-6]\d{3}|180\d)(?:[ -]?\d){8,15}(?![\w-])"), (_DIGITS,), _if_card),
    Rule("SSN", re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"), (_DIGITS,)),
    Rule("IP", re.compile(rf"(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?!\.?\w)"), (_DOTTED,), _if_address),
    Rule(
        "IP", re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"), (_COLONS,), _if_address_six
    ),
    Rule(
        "PHONE",
        re.compile(rf"(?<![\w.+-])\+\d{{1,3}}(?:[ ./-]?\(?\d{{1,4}}\)?){{2,6}}{_EXTENSION}(?![\w-])"),
        (_DIGITS,),
        _if_phone,
    ),
    Rule(
        "PHONE",
        re.compile(
            rf"(?<![\w.+-])(?:1[ .-])?(?:\(\d{{2,5}}\)[ .-]?\d{{3}}[ .-]?\d{{3,4}}|\d{{3}}[ .-]\d{{3}}[ .-]\d{{4}}){_EXTENSION}(?![\w-])"
        ),
        (_DIGITS,),
        _if_phone,
    ),
    # National form with the trunk prefix.
    Rule(
        "PHONE",
        re.compile(rf"(?<![\w.+-])\(?0\d{{1,4}}\)?(?:[ /-]\d{{2,4}}){{2,4}}{_EXTENSION}(?![\w-])"),
        (_DIGITS,),
        _if_national,
    ),
)

# Damages arithmetic and code (16 % of clean GSM8K answers hold such a number), hence by choice only.
STRICT = (
    Rule("USER", re.compile(r"/(?:home|Users)/([A-Za-z0-9._-]{1,64})"), ("/home/", "/users/")),
    Rule("HANDLE", re.compile(r"(?<![\w@/.])@[A-Za-z_][\w-]{1,63}"), ("@",)),
    Rule("NUMBER", re.compile(r"(?<![\w.])\d(?:[ ./-]?\d){6,40}(?!\w)"), (_DIGITS,)),
)
