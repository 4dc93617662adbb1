"""The language detector: what it must know, and what it must admit not to know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.languages import LANGUAGES, UNKNOWN, detect_language

BALANCE = {
    "ar": "ما هو رصيد حسابي",
    "de": "wie hoch ist der Stand auf meinem Konto",
    "el": "ποιο είναι το υπόλοιπό μου",
    "en": "what is the balance on my account",
    "es": "cuál es el saldo de mi cuenta",
    "fa": "موجودی حساب من چقدر است؟ گزارش بده",
    "fr": "quel est le solde de mon compte",
    "he": "מה היתרה בחשבון שלי",
    "hi": "मेरे खाते में कितना पैसा है",
    "id": "berapa saldo yang ada di rekening saya",
    "it": "qual è il saldo del mio conto",
    "ja": "口座の残高はいくらですか",
    "ko": "내 계좌 잔액이 얼마인가요",
    "nl": "wat is het saldo van mijn rekening",
    "pl": "jakie jest saldo na moim koncie i kiedy",
    "pt": "qual é o saldo da minha conta",
    "ru": "сколько денег на моём счёте",
    "sv": "hur mycket pengar har jag på mitt konto",
    "th": "ยอดเงินในบัญชีของฉันเท่าไหร่",
    "tr": "hesab\u0131mda ne kadar para var",
    "uk": "скільки грошей на моєму рахунку",
    "vi": "tài khoản của tôi có bao nhiêu tiền",
    "zh": "我的账户余额是多少",
}
CODE = [
    "ls -la | sort -k5 -n",
    "def f(x):\n    return x + 1",
    '{"tool": "flip_coin"}',
    "for (int k = 0; k < n; ++k) sum += v[k];",
    "git push --force origin main",
]


@pytest.mark.parametrize("language", sorted(BALANCE))
def test_a_plain_question_is_recognised(language: str) -> None:
    assert detect_language(BALANCE[language]) == language


@pytest.mark.parametrize("language", sorted(BALANCE))
def test_capitals_and_a_number_do_not_matter(language: str) -> None:
    assert detect_language(BALANCE[language].capitalize() + " 12345?") == language


def test_every_language_that_can_be_told_is_tried_here() -> None:
    assert set(LANGUAGES) == set(BALANCE)


@pytest.mark.parametrize("text", CODE)
def test_code_is_not_called_a_language(text: str) -> None:
    assert detect_language(text) == UNKNOWN


@pytest.mark.parametrize("text", ["", " ", "12345", "🙂🙂", "Zürich", "ok", "Mette Mbeki", "<PERSON_3>"])
def test_what_holds_no_function_word_is_unknown(text: str) -> None:
    assert detect_language(text) == UNKNOWN


def test_a_language_that_is_not_on_the_list_is_not_called_by_the_name_of_another() -> None:
    # Hungarian, Finnish, Estonian: none of the words is frequent in a language that is known.
    for text in ("mennyi pénz van a számlámon", "paljonko rahaa tililläni on", "kui palju raha mu arvel"):
        assert detect_language(text) == UNKNOWN


def test_an_english_sentence_with_a_foreign_name_stays_english() -> None:
    assert detect_language("what time is it in São Paulo and in København right now") == "en"


def test_chinese_characters_among_kana_are_japanese() -> None:
    assert detect_language("東京都の天気予報を教えて") == "ja"


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert detect_language(BALANCE["en"] + " " * 600 + BALANCE["de"] * 100) == "en"


@given(st.text(max_size=200))
def test_any_text_gets_a_known_code(text: str) -> None:
    assert detect_language(text) in {*LANGUAGES, UNKNOWN}
