"""Secrets: keys of providers by their own form, and whatever stands where a secret stands.

Of our own writing; key forms from the documentation of their issuers. A form that is unmistakable is found
in the middle of a word too, because logs glue things together.
"""

import math
import re
from collections import Counter

from cortex_cli.collect.patterns import ASSIGNED, LONG, Rule

__all__ = ["SECRETS", "SECRET_KEY"]

_SETTINGS = {"true", "false", "none", "null", "nil", "undefined", "string", "required", "optional", "yes", "no", "env"}
# Words of a manual, such as `--password your_password`: they stand for a value.
_STAND_IN = re.compile(
    r"(?i)path/to/.*|(?:[a-z]{1,12}[_-]){0,3}"
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|value|username|user|string|x{3,}|\*{3,}|\.{3,}|here)"
)
_CODE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|[A-Za-z_]\w*\(.*")


def _if_token(text: str) -> int:
    # A key has a run without a hyphen, with a digit or both cases in it; `task-force-of-the-year` has not.
    longest = max(re.split(r"[-_.]", text), key=len)
    mixed = any(map(str.isdigit, longest)) or (longest.lower() != longest and longest.upper() != longest)
    return len(text) if len(longest) >= 12 and mixed else 0


def _if_digit(text: str) -> int:
    return len(text) if any(map(str.isdigit, text)) and not _CODE.fullmatch(text) else 0


def _if_value(text: str) -> int:
    # Variables, templates and what was masked before are no secrets; nor are the words of a settings file.
    spared = text[0] in "$%{<*[" or text.lower() in _SETTINGS or _STAND_IN.fullmatch(text) or _CODE.fullmatch(text)
    return 0 if spared else len(text)


def _if_random(text: str) -> int:
    # Shannon entropy: words of English have about 2.5 bits per letter at this length, keys 3.5 and more.
    if not _if_value(text) or "/" in text[:1]:
        return 0
    shares = [count / len(text) for count in Counter(text).values()]
    entropy = -sum(share * math.log2(share) for share in shares)
    return len(text) if entropy >= 3.0 and any(map(str.isdigit, text)) else 0


_PASSWORDS = r"pass(?:word|wd|phrase|code)?|pwd"
_KEYS = (
    r"secret(?:[_-]?(?:access[_-]?)?key)?|(?:access|api|auth|signing|encryption|private|account|subscription|license|"
    r"deploy|master)[_-]?key|token|credentials?"
)
_SEPARATOR = r"[\"']?[ \t]{0,3}(?::=|=>|=|:)[ \t]{0,3}"
_VALUE = r"[^\s\"'<>,;&|(){}\[\]\\]"

# Whether the name of a field says that its value is a secret, as in {"password": "..."}.
SECRET_KEY = re.compile(
    r"(?:^|[._-]|(?<=[a-z])(?=[A-Z]))"
    rf"(?i:(?:client|app|access|api|auth|refresh|bearer|bot|session|user|db)?(?:{_PASSWORDS}|{_KEYS}))$"
)


_GITLAB = ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "gloas-", "glsoat-", "glft-", "glimt-", "glagent-")


def _issued(pattern: str, *keywords: str) -> Rule:
    """Return the rule for keys whose issuer gives them an unmistakable form."""
    return Rule("API_KEY", re.compile(pattern), keywords)


_ISSUED = (
    _issued(r"sk-ant-[A-Za-z0-9_-]{20,200}", "sk-ant-"),
    _issued(r"[sp]k-lf-[0-9a-f-]{30,40}", "k-lf-"),
    Rule(
        "API_KEY", re.compile(r"(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,250}"), ("sk-", "sk_", "rk_", "pk_", "pk-"), _if_token
    ),
    _issued(r"gh[pousr]_[A-Za-z0-9]{30,255}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _issued(r"github_pat_[A-Za-z0-9_]{22,255}", "github_pat_"),
    _issued(r"gl(?:pat|dt|rt|ptt|cbt|oas|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,64}", *_GITLAB),
    _issued(r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])", "akia", "asia", "abia", "acca"),
    _issued(r"AIza[A-Za-z0-9_-]{35}", "aiza"),
    _issued(r"GOCSPX-[A-Za-z0-9_-]{20,40}", "gocspx-"),
    _issued(r"ya29\.[A-Za-z0-9_-]{20,400}", "ya29."),
    _issued(r"hf_[A-Za-z0-9]{30,64}", "hf_"),
    _issued(r"xox[abeposr](?:\.xox[bp])?-[A-Za-z0-9-]{10,255}", "xox"),
    _issued(r"xapp-\d-[A-Za-z0-9-]{20,255}", "xapp-"),
    _issued(r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9/_+-]{20,200})", "hooks.slack"),
    _issued(r"discord(?:app)?\.com/api/webhooks/(\d{10,25}/[A-Za-z0-9_-]{20,100})", "api/webhooks"),
    _issued(r"(?<![\w.-])[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,45}(?![\w-])", LONG),
    _issued(r"(?<!\d)\d{8,10}:AA[A-Za-z0-9_-]{30,35}", ":aa"),
    _issued(r"whsec_[A-Za-z0-9+/=]{20,100}", "whsec_"),
    _issued(r"(?<![A-Za-z0-9])(?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])", LONG),
    _issued(r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", "sg."),
    _issued(r"(?<![A-Za-z0-9])key-[0-9a-f]{32}", "key-"),
    _issued(r"(?<![A-Za-z0-9])[0-9a-f]{32}-us\d{1,2}(?!\w)", "-us"),
    _issued(r"npm_[A-Za-z0-9]{36}", "npm_"),
    _issued(r"pypi-[A-Za-z0-9_-]{50,300}", "pypi-"),
    _issued(r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,60}", "dckr_"),
    _issued(r"dapi[0-9a-f]{32}(?:-\d)?", "dapi"),
    _issued(r"do[opr]_v1_[0-9a-f]{64}", "_v1_"),
    _issued(r"shp(?:at|ss|ca|pa)_[0-9a-fA-F]{32}", "shp"),
    _issued(r"sq0[a-z]{3}-[A-Za-z0-9_-]{20,60}", "sq0"),
    _issued(r"ATATT3[A-Za-z0-9_=-]{50,300}", "atatt3"),
    _issued(
        r"(?:ntn|lin_api|figd|glsa|glc|sntry[su]|sbp|gsk|pplx|pcsk|tvly|lsv2_(?:pt|sk)|r8|fw|nvapi|rnd|tskey|ops|dp\.pt)"
        r"[_-][A-Za-z0-9_=-]{24,300}",
        LONG,
    ),
    _issued(r"xai-[A-Za-z0-9]{40,120}", "xai-"),
    _issued(r"(?:NRAK|PMAK)-[A-Za-z0-9-]{20,80}", "nrak-", "pmak-"),
    _issued(r"hv[sb]\.[A-Za-z0-9_-]{24,300}", "hvs.", "hvb."),
    _issued(r"AGE-SECRET-KEY-1[A-Z0-9]{50,60}", "age-secret-key-"),
    _issued(r"AAAA[A-Za-z0-9_-]{7}:[A-Za-z0-9_-]{100,180}", "aaaa"),
    _issued(r"[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{30,36}", "8q~"),
    _issued(
        r"(?i)(?:AccountKey|SharedAccessKey|SharedSecret)=([A-Za-z0-9+/]{20,100}={0,2})",
        "accountkey=",
        "sharedaccesskey=",
        "sharedsecret=",
    ),
    _issued(r"(?i)[?&]sig=([A-Za-z0-9%+/]{20,120}=?)", "sig="),
    Rule(
        "TOKEN", re.compile(r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{8,4000})?"), ("eyj",)
    ),
)

_WHERE = (
    Rule(
        "TOKEN",
        re.compile(
            r"(?i)authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?(?:(?:bearer|basic|token|apikey|digest)[ \t]{1,3})?([A-Za-z0-9._~+/=-]{8,4000})"
        ),
        ("authorization",),
        _if_digit,
    ),
    Rule(
        "TOKEN",
        re.compile(r"(?i)(?<![a-z])(?:bearer|basic)[ \t]{1,3}([A-Za-z0-9._~+/-]{16,4000}={0,2})"),
        ("bearer", "basic"),
        _if_digit,
    ),
    Rule(
        "TOKEN",
        re.compile(
            r"(?i)(?<![\w-])(?:set-)?cookie[\"']?:[ \t]{0,3}[\"']?([^\s<\"'=]{1,100}=[^\s\"'][^\r\n\"']{5,4000})"
        ),
        ("cookie",),
    ),
    Rule("PASSWORD", re.compile(r"://[^\s/:@\"'<>]{0,100}:([^\s/\"'<>]{1,200})@"), ("://",), _if_value),
    Rule("TOKEN", re.compile(r"://([A-Za-z0-9_-]{20,200})@"), ("://",), _if_token),
    Rule(
        "PASSWORD",
        re.compile(
            r"(?i)(?<![\w-])--?(?!no-)(?:[a-z]{1,12}-)?(?:password|passwd|passphrase|pass|pwd)(?:=|[ \t]{1,3})[\"']?([^\s\"'<>-][^\s\"'<>]{2,200})"
        ),
        ("-pass", "-pwd"),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            r"(?i)(?<![\w-])--(?:[a-z]{1,12}-){0,2}(?:token|secret|api-?key|access-key|secret-key|auth)(?:=|[ \t]{1,3})[\"']?([^\s\"'<>-][^\s\"'<>]{5,400})"
        ),
        ("--",),
        _if_random,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            r"(?:^|[\s|;&(])(?:mysql|mysqldump|mysqladmin|mariadb)(?=[ \t])[^\n|;]{0,200}?(?<=[ \t])-p[\"']?([^\s\"'-][^\s\"']{2,100})"
        ),
        ("mysql", "mariadb"),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            r"(?:sshpass|docker[ \t]login)(?=[ \t])[^\n|;]{0,200}?(?<=[ \t])-p[ \t]{0,2}[\"']?([^\s\"'-][^\s\"']{2,100})"
        ),
        ("sshpass", "docker"),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            r"(?:curl|wget|http)[ \t][^\n|;]{0,300}?(?:-u|--user|--proxy-user)[ \t=]{0,2}[\"']?[^\s:\"']{1,100}:([^\s\"'@]{3,200})"
        ),
        ("curl", "wget", "http"),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(r"redis-cli[ \t][^\n|;]{0,100}?-a[ \t]{1,2}[\"']?([^\s\"']{3,200})"),
        ("redis-cli",),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(rf"(?i)(?:{_PASSWORDS}|{_KEYS}){_SEPARATOR}[\"']({_VALUE}{{4,400}})[\"']"),
        (ASSIGNED,),
        _if_value,
    ),
    Rule(
        "PASSWORD",
        re.compile(rf"(?i)(?:{_PASSWORDS})[ \t]{{0,3}}=[ \t]{{0,3}}({_VALUE}{{4,400}})"),
        (ASSIGNED,),
        _if_value,
    ),
    Rule(
        "PASSWORD", re.compile(rf"(?i)(?:{_KEYS})[ \t]{{0,3}}=[ \t]{{0,3}}({_VALUE}{{8,400}})"), (ASSIGNED,), _if_random
    ),
    # After a colon stands prose as often as a secret, so a digit is asked for.
    Rule(
        "PASSWORD", re.compile(rf"(?i)(?:{_PASSWORDS}|{_KEYS}):[ \t]{{0,3}}({_VALUE}{{6,400}})"), (ASSIGNED,), _if_digit
    ),
    Rule(
        "PASSWORD",
        re.compile(r"(?i)\b(?:password|passcode|pin)[ \t]{1,2}(?:is|was|=)[ \t]{1,2}[\"']?([^\s\"'<>,]{4,100})"),
        ("password", "passcode", "pin"),
        _if_digit,
    ),
)

SECRETS = (
    Rule(
        "PRIVATE_KEY",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
        ),
        ("-----begin",),
    ),
    Rule(
        "PRIVATE_KEY",
        re.compile(r"PuTTY-User-Key-File-\d:[\s\S]{0,4000}?Private-MAC: [0-9a-f]{40,64}"),
        ("putty-user-key-file",),
    ),
    *_ISSUED,
    *_WHERE,
)
