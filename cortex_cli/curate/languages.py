"""Which language a text is in: scripts first, then frequent words; `unknown` where neither decides.

A small detector for counting, not for routing: eighteen languages and the scripts that are one language's own.
Word lists are the most frequent function words of each language, chosen here; no corpus is needed.
"""

import re
from collections import Counter

__all__ = ["LANGUAGES", "UNKNOWN", "detect_language"]

UNKNOWN = "unknown"
# What is looked at: a language shows in a few dozen words, and prompts may be books.
_CHARS = 600
_WORDS = 60
# Of the words, at least this share must be frequent ones: below it stands code, a list of names, another language.
_LEAST_SHARE = 0.12
_LEAST_SHARE_OF_ONE = 0.3
# The winner's lead in words that speak for it alone: at less, short texts go to whoever shares most words.
_LEAD = 0.3
_LEAST_SCORE = 0.9

# Words of one letter are left out: they are names, variables and list marks too.
_FREQUENT = {
    "en": "the of and to in is that it for was on are with as at be this have from or by not but what which you your "
    "my me how do does can an when where who why will would there their they we he she his her if all so about "
    "please could should show find want need tell into has had been than then any many much did am over after use "
    "up out no just only plus minus its",
    "es": "el la los las de que en un una es por con para no se su lo como más pero al del le ya fue este esta "
    "sí porque cuando muy sin sobre también me hasta hay donde quien qué cómo cuál mi tu puedo quiero está son",
    "fr": "le la les de des et un une est que qui dans pour pas sur au avec ce il elle je vous nous ne se plus par "
    "du en sont mais comme ou où mon ma mes votre quel quelle comment pourquoi cette être fait puis peux été aux",
    "pt": "os as de que em um uma por com para não se seu sua do da dos das no na mais mas ao como foi ele "
    "ela eu você meu minha qual quando onde está são também muito já nos isso pelo pela quero posso",
    "de": "der die das und ist in den von zu mit sich des auf für nicht ein eine als auch es an werden aus er hat "
    "dass sie nach bei einer um am sind noch wie einem über so zum war haben nur oder aber vor zur bis mehr durch "
    "man wird ich du wir ihr mein kann wo was warum welche bitte",
    "it": "il lo la gli le di che un una per non in con si da come ma sono del della al alla dei delle nel più "
    "anche questo questa mi ho ha suo sua dove quando perché cosa chi quale mio mia posso vorrei sul ci",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij nog uit naar door over "
    "ze hij zij ik je jij we wat hoe waar waarom welke mijn kan wordt worden deze dit heeft geen wel",
    "pl": "na do że się nie to jest jak po co za od przez ale tak czy dla już są był była tym jego jej które "
    "który która mnie mi mój moja gdzie kiedy dlaczego mogę proszę tylko lub oraz przy",
    "sv": "och att det en som är på av för med den till inte har de om ett han men var jag hon sig så från vi kan "
    "man när nu skulle hur vad varför min mitt du ska eller där här också alla detta",
    "tr": "ve bir bu da de için ile çok ne gibi daha ben sen mi m\u0131 var yok olarak kadar sonra ama en olan değil "
    "nas\u0131l neden hangi nerede benim şu her şey ya veya önce bana lütfen kaç",
    "vi": "và của là có không được cho trong một các những này với người đã tôi để khi đến từ như về bạn làm thế "
    "nào gì ra vào cũng nhưng rất tại sao hay muốn",
    "id": "yang dan di ini itu untuk dengan dari ke tidak ada adalah saya akan pada juga atau bisa karena kami kita "
    "dalam apa bagaimana mengapa mana sudah oleh seperti lebih anda tolong saat telah",
}
# Letters that only one of the languages above writes, or nearly so; each distinct one counts as a frequent word.
_LETTERS = {
    "es": "ñ¿¡",
    "fr": "œùë",
    "pt": "ãõ",
    "de": "ß",
    "pl": "łżźśćńęą",
    "sv": "å",
    "tr": "ğışİ",
    "vi": "ơưđăạảấầậắằặẹẻẽếềệỉịọỏốồộớờợụủứừựỳỵ",
}
# Scripts by ranges of letters; some hold several languages, which `_SCRIPTS` tells apart or leaves unknown.
_SCRIPTS = (
    ("ja", "぀-ヿㇰ-ㇿ"),
    ("ko", "ᄀ-ᇿ㄰-㆏가-힯"),
    ("zh", "㐀-䶿一-鿿"),
    ("ru", "Ѐ-ӿ"),
    ("ar", "؀-ۿݐ-ݿ"),
    ("hi", "ऀ-ॿ"),
    ("el", "Ͱ-Ͽ"),
    ("he", "֐-׿"),
    ("th", "฀-๿"),
)
LANGUAGES = tuple(sorted({*_FREQUENT, *(name for name, _ in _SCRIPTS), "fa", "uk"}))

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_OF_SCRIPT = tuple((name, re.compile(f"[{ranges}]")) for name, ranges in _SCRIPTS)
# Letters of Ukrainian that Russian has not, and of Persian that Arabic has not.
_UKRAINIAN = re.compile("[іїєґІЇЄҐ]")
_PERSIAN = re.compile("[پچژگکی]")


def _weigh() -> dict[str, dict[str, float]]:
    shared = Counter(word for words in _FREQUENT.values() for word in set(words.split()))
    found: dict[str, dict[str, float]] = {}
    for language, words in _FREQUENT.items():
        for word in set(words.split()):
            # A word of three languages speaks a third as loud for each.
            found.setdefault(word, {})[language] = 1 / shared[word]
    return found


_WEIGHTS = _weigh()
_LETTER_OWNERS = {letter: language for language, letters in _LETTERS.items() for letter in letters}


def detect_language(text: str) -> str:
    """Return the code of the language that *text* is most likely in, or `unknown`.

    Short texts without a function word, code and languages that are not in `LANGUAGES` are unknown.
    """
    sample = text[:_CHARS]
    if not sample.isascii() and (script := _main_script(sample)):
        return _within_script(script, sample)
    return _by_words(sample.lower())


def _main_script(text: str) -> str:
    letters = len(_LETTER.findall(text))
    counts = {name: len(pattern.findall(text)) for name, pattern in _OF_SCRIPT}
    # Japanese is written with Chinese characters too: kana decide.
    if counts["ja"] and counts["ja"] * 10 >= counts["zh"]:
        counts["ja"] += counts.pop("zh")
    name = max(counts, key=lambda each: counts[each])
    # Marks of Indic scripts are no letters, so the share may be above one.
    return name if counts[name] * 2 > letters else ""


def _within_script(script: str, text: str) -> str:
    if script == "ru" and _UKRAINIAN.search(text):
        return "uk"
    if script == "ar" and len(_PERSIAN.findall(text)) >= 2:
        return "fa"
    return script


def _by_words(text: str) -> str:
    words = _WORD.findall(text)[:_WORDS]
    scores: dict[str, float] = {}
    frequent = 0
    for word in words:
        weights = _WEIGHTS.get(word)
        if weights is None:
            continue
        frequent += 1
        for language, weight in weights.items():
            scores[language] = scores.get(language, 0.0) + weight
    if not text.isascii():
        for letter in set(text) & _LETTER_OWNERS.keys():
            language = _LETTER_OWNERS[letter]
            scores[language] = scores.get(language, 0.0) + 1.0
            frequent += 1
    return _decide(scores, frequent, len(words))


def _decide(scores: dict[str, float], frequent: int, words: int) -> str:
    # A single word may be another language's that is spelt alike, unless it is much of what was said.
    if not scores or frequent < (_LEAST_SHARE if frequent > 1 else _LEAST_SHARE_OF_ONE) * words:
        return UNKNOWN
    first, second = [*sorted(scores.values(), reverse=True), 0.0][:2]
    if first < _LEAST_SCORE or first - second < _LEAD:
        return UNKNOWN
    return max(scores, key=lambda language: scores[language])
