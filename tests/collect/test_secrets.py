from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.secrets import SECRET_KEY, SECRETS

BOOK = RuleBook(SECRETS)


def fill(length: int, letters: str = "a7Bq2Xk9Zr4Tm1Lw8") -> str:
    return "".join(islice(cycle(letters), length))


HEX = "3f9a0c71be5d2486"
ISSUED = [
    f"sk-proj-{fill(48)}",
    f"sk-{fill(48)}",
    f"sk-ant-api03-{fill(80)}",
    f"sk-or-v1-{fill(64, HEX)}",
    "sk-lf-3f9a0c71-be5d-4248-8639-f3a90c71be5d",
    f"sk_live_{fill(24)}",
    f"rk_test_{fill(24)}",
    f"whsec_{fill(32)}",
    f"AIza{fill(35)}",
    f"GOCSPX-{fill(28)}",
    f"ya29.{fill(60)}",
    f"AKIA{fill(16, 'Q7RS2TUV')}",
    f"ASIA{fill(16, 'Q7RS2TUV')}",
    f"ghp_{fill(36)}",
    f"github_pat_{fill(22)}_{fill(59)}",
    f"glpat-{fill(20)}",
    f"xoxb-1234567890-{fill(24)}",
    f"xapp-1-A0B1C2D3-{fill(40)}",
    f"https://hooks.slack.com/services/T0AB1CD2E/B0AB1CD2E/{fill(24)}",
    f"https://discord.com/api/webhooks/123456789012345678/{fill(68)}",
    f"M{fill(23)}.{fill(6)}.{fill(38)}",
    f"123456789:AA{fill(33)}",
    f"SK{fill(32, HEX)}",
    f"SG.{fill(22)}.{fill(43)}",
    f"key-{fill(32, HEX)}",
    f"{fill(32, HEX)}-us21",
    f"npm_{fill(36)}",
    f"pypi-AgEIcHlwaS5vcmc{fill(60)}",
    f"dckr_pat_{fill(27)}",
    f"hf_{fill(34)}",
    f"dapi{fill(32, HEX)}",
    f"dop_v1_{fill(64, HEX)}",
    f"shpat_{fill(32, HEX)}",
    f"gsk_{fill(52)}",
    f"xai-{fill(80)}",
    f"pcsk_{fill(60)}",
    f"glsa_{fill(41)}",
    f"hvs.{fill(90)}",
    f"ab~8Q~{fill(34)}",
    f"eyJ{fill(30)}.eyJ{fill(60)}.{fill(43)}",
]
SAID = [
    ("password=hunter22", "hunter22"),
    ("DB_PASSWORD = hunter22", "hunter22"),
    ("export API_KEY='abcd1234efgh'", "abcd1234efgh"),
    ('token: "abcdefgh"', "abcdefgh"),
    ("passwd: h4nter22", "h4nter22"),
    ("my password is h4nter22!", "h4nter22!"),
    ("client_secret: Q7f9aLm2Zx", "Q7f9aLm2Zx"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYz1", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYz1"),
    ("AccountName=x;AccountKey=" + fill(86) + "==", fill(86) + "=="),
    ("https://anna:hunter22@host.example/path", "hunter22"),
    ("postgres://app:p@ss:w0rd@db.example:5432/main", "p@ss:w0rd"),
    ("redis://:hunter22@cache:6379/0", "hunter22"),
    ("Authorization: Bearer abc123def456ghi789", "abc123def456ghi789"),
    ("authorization: basic dXNlcjpwYXNzd29yZDE=", "dXNlcjpwYXNzd29yZDE="),
    ("Cookie: session=9f8e7d6c; theme=dark", "session=9f8e7d6c; theme=dark"),
    ("Set-Cookie: sid=9f8e7d6c; HttpOnly", "sid=9f8e7d6c; HttpOnly"),
    ("tool --password hunter22 --verbose", "hunter22"),
    ("tool --db-password=hunter22", "hunter22"),
    ("tool --token 9f8e7d6c5b4a3921", "9f8e7d6c5b4a3921"),
    ("mysql -u root -phunter22 shop", "hunter22"),
    ("mysqldump -u root -p'hunter22' shop", "hunter22"),
    ("sshpass -p hunter22 ssh host", "hunter22"),
    ("curl -u anna:hunter22 https://host.example", "hunter22"),
    ("curl --user anna:hunter22 https://host.example", "hunter22"),
    ("redis-cli -h cache -a hunter22 ping", "hunter22"),
    ("https://x.blob.core.windows.net/a?se=2026&sig=abcDEF123%2Bghi456JKL789mno%3D", "abcDEF123%2Bghi456JKL789mno%3D"),
]
CLEAN = [
    "my password is not here: see the token ring",
    "password=$DB_PASSWORD token={{ token }} secret=<none>",
    "password: required",
    "--password your_password --token YOUR_TOKEN",
    "tokenizer=fast keyboard=us monkey=7",
    "api_key = os.environ",
    "token = lexer.next_token()",
    "max_tokens: 4096, temperature: 0.7",
    "basic responsibilities of the bearer",
    "a task-force-of-the-year and a disk-management-something-long",
    "risk-based-approach-to-everything",
    "sort -k1,1 -k2 file | head -n 25",
    "commit 3f9a0c71be5d24863f9a0c71be5d24863f9a0c71",
    "https://host.example:8080/path?mail=none",
    "the key is under the mat",
    "I forgot my password again",
    "docker run -p 8080:80 nginx",
    "ssh -p 2222 host",
    "cookie recipe: flour, sugar",
]


@pytest.mark.parametrize("value", ISSUED, ids=lambda value: value[:14])
@pytest.mark.parametrize("form", ["use {} now", "({}),", "key={}", "x{}", '"{}"', "{}\n"])
def test_a_key_is_found_wherever_it_stands(value: str, form: str) -> None:
    text = form.format(value)
    glued_forms_need_a_start = value[0] in "M1S3" or value.startswith("key-")
    if form == "x{}" and glued_forms_need_a_start:
        return
    left = cut(text)
    assert fill(9)[2:] not in left
    assert fill(12, HEX) not in left


def cut(text: str) -> str:
    for start, end, kind in reversed(BOOK.find(text)):
        text = f"{text[:start]}<{kind}>{text[end:]}"
    return text


@pytest.mark.parametrize(("text", "secret"), SAID, ids=[text[:24] for text, _ in SAID])
def test_a_secret_is_found_by_what_stands_before_it(text: str, secret: str) -> None:
    assert [text[start:end] for start, end, _ in BOOK.find(text)] == [secret]


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert BOOK.find(text) == []


@pytest.mark.parametrize("tail", ["\n-----END RSA PRIVATE KEY-----\nafter", "", "\nand the log was cut here"])
def test_a_private_key_is_cut_to_its_end_or_to_the_end_of_the_text(tail: str) -> None:
    left = cut("before\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc" + tail)
    assert left.startswith("before\n<PRIVATE_KEY>")
    assert "MIIE" not in left
    assert left.endswith("after") is tail.endswith("after")


@pytest.mark.parametrize("kind", ["OPENSSH ", "EC ", "", "PGP "])
def test_private_keys_of_every_kind_are_found(kind: str) -> None:
    block = " BLOCK" if kind == "PGP " else ""
    assert "abcd" not in cut(f"-----BEGIN {kind}PRIVATE KEY{block}-----\nabcd\n-----END {kind}PRIVATE KEY{block}-----")


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "apiKey", "api_key", "x-api-key", "accessToken", "client_secret", "db.pwd"]
)
def test_names_of_fields_that_hold_secrets_are_known(name: str) -> None:
    assert SECRET_KEY.search(name)


@pytest.mark.parametrize("name", ["tokens", "max_tokens", "keyboard", "passenger", "monkey", "secretary", "compass"])
def test_names_of_other_fields_are_not_taken_for_them(name: str) -> None:
    assert not SECRET_KEY.search(name)


@given(st.text("abcdefghijklmnopqrstuvwxyz '.,?!", max_size=200))
def test_plain_words_hold_no_secret(text: str) -> None:
    assert BOOK.find(text) == []


@given(st.text(max_size=30), st.text(max_size=30))
def test_noise_around_a_key_does_not_hide_it(before: str, after: str) -> None:
    key = f"ghp_{fill(36)}"
    assert key not in cut(f"{before} {key} {after}")


@pytest.mark.parametrize("text", ["a" * 200_000, "key=" * 50_000, "-" * 200_000, "sk-" * 60_000, "mysql " * 30_000])
def test_no_text_makes_it_hang(text: str) -> None:
    assert isinstance(BOOK.find(f"password token bearer :// {text}"), list)
