"""What clients are told apart by, brought to one spelling: names, tax numbers, phones, e-mails and addresses."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_FORMS_TEXT = """
    ltd limited=ltd llc llp lp inc incorporated=inc corp corporation=corp co company=co plc pty pte gmbh ggmbh mbh=gmbh ag kg
    kgaa ohg ug se eg sa sas sasu sarl eurl srl spa snc sl slu bv nv vof oy oyj ab as asa aps kft zrt doo dd sro spzoo
    ооо ooo=ооо ао ao=ао зао zao=зао оао oao=оао пао pao=пао нао ип тоо одо фгуп муп чп тов ко=co
"""
LEGAL_FORMS = {spelt: kind or spelt for spelt, _, kind in (entry.partition("=") for entry in _FORMS_TEXT.split())}
"""Legal forms of the common languages, in lower case and without punctuation, and the form each is a spelling of."""

_PHRASES = (
    ("общество с ограниченнои ответственностью", "ооо"),
    ("публичное акционерное общество", "пао"),
    ("закрытое акционерное общество", "зао"),
    ("открытое акционерное общество", "оао"),
    ("акционерное общество", "ао"),
    ("индивидуальныи предприниматель", "ип"),
    ("gesellschaft mit beschrankter haftung", "gmbh"),
    ("public limited company", "plc"),
)
_CONNECTIVES = frozenset({"and", "und", "et", "и"})
_LONGEST_FORM = 4
_JOINED = re.compile(r"[.'’`´/]")
_APART = re.compile(r"[\W_]+")
_UNDIVIDED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th"})

_ALIKE_CYRILLIC, _ALIKE_LATIN = "авекмнорстухіјѕ", "abekmhopctyxijs"
_TO_LATIN = str.maketrans(_ALIKE_CYRILLIC, _ALIKE_LATIN)
_TO_CYRILLIC = str.maketrans(_ALIKE_LATIN, _ALIKE_CYRILLIC)
_SOUNDS = str.maketrans({
    "а": "a", "б": "b", "в": "v", "г": "g", "ґ": "g", "д": "d", "е": "e", "є": "ie", "ж": "zh", "з": "z", "и": "i", "і": "i",
    "ј": "j", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "ѕ": "s", "т": "t", "у": "u",
    "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya",
})  # fmt: skip

_SHORTEST_TAX_ID = 5
_PHONE_DIGITS = (7, 9)
_EXTENSION = re.compile(r"(?<=\d)\s*(?:ext|доб|вн|x|#|;|,).*", re.IGNORECASE | re.DOTALL)
_E_MAIL = re.compile(r"[\w.+%'-]+@([\w-]+(?:\.[\w-]+)+)")
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})
_PUBLIC_TEXT = """
    gmail googlemail yahoo ymail hotmail outlook live msn icloud me aol gmx web t-online freenet mail inbox list bk yandex ya
    rambler ukr proton protonmail orange wanadoo free laposte libero virgilio tiscali seznam centrum wp o2 onet interia qq 163 126
    zoho fastmail
"""
PUBLIC_MAIL = frozenset(_PUBLIC_TEXT.split())
"""First labels of the domains of public mail providers: an address there says nothing of the company."""


@dataclass(frozen=True, slots=True)
class ReadName:
    """A name as it is compared.

    ``words`` are without case, accents, signs and legal forms, Cyrillic ones as they sound in Latin letters; ``seen`` are
    the same words with Cyrillic letters as the Latin ones they look like; ``forms`` the legal forms.
    """

    words: tuple[str, ...]
    seen: tuple[str, ...]
    forms: frozenset[str]

    @property
    def key(self) -> str:
        """The words without spaces: equal for names that are the same but for spelling."""
        return "".join(self.words)

    @property
    def numbers(self) -> str:
        """The digits of the name, in their order: a branch 1 is not a branch 2."""
        return " ".join(re.findall(r"\d+", " ".join(self.words)))


def read_name(name: str) -> ReadName:
    """A client's name as it is compared.

    A name that is nothing but legal forms keeps one of them. A word in which letters of both scripts are mixed is read in
    the script of those that only one script has.

    Parameters
    ----------
    name
        As it is written.
    """
    text = _APART.sub(" ", _JOINED.sub("", _plain(name).replace("&", " and ").replace("+", " and ")))
    text = " ".join(_one_script(word) for word in text.split())
    for phrase, form in _PHRASES:
        text = text.replace(phrase, form)
    words, forms = _without_forms(text.split())
    sounded = tuple(sound for word in words if (sound := word.translate(_SOUNDS)))
    return ReadName(sounded, tuple(word.translate(_TO_LATIN).translate(_SOUNDS) for word in words), frozenset(forms))


def normal_tax_id(tax_id: str) -> str:
    """A tax number without case, spaces and punctuation; empty when it is too short, or has no digit but 0 in it."""
    plain = re.sub(r"[\W_]+", "", tax_id).upper()
    return plain if re.search(r"[1-9]", plain) and len(plain) >= _SHORTEST_TAX_ID else ""


def normal_phone(phone: str) -> str:
    """The last nine digits of a phone number, so that it is the same with and without the country's prefix.

    Extensions and second numbers are left out. Empty when fewer than seven digits are left, or all are the same.
    """
    digits = re.sub(r"\D", "", _EXTENSION.sub("", phone.strip()))
    shortest, longest = _PHONE_DIGITS
    return digits[-longest:] if len(digits) >= shortest and len(set(digits)) > 1 else ""


def normal_email(email: str) -> str:
    """The first e-mail address in a text, in lower case; empty when there is none."""
    found = _E_MAIL.search(email.lower())
    return found.group(0) if found else ""


def own_domain(email: str) -> str:
    """The registered domain of an e-mail address; empty for public mail providers and for what is no address."""
    found = _E_MAIL.search(email.lower())
    if not found:
        return ""
    labels = found.group(1).split(".")
    length = 3 if len(labels) > 2 and labels[-2] in _SECOND_LEVEL and len(labels[-1]) == 2 else 2
    registered = labels[-length:]
    return "" if registered[0] in PUBLIC_MAIL else ".".join(registered)


def normal_address(address: str) -> str:
    """The words and numbers of an address in alphabetical order, so that their order does not matter."""
    words = _APART.sub(" ", _plain(address)).split()
    return " ".join(sorted(_one_script(word).translate(_SOUNDS) for word in words))


def _plain(text: str) -> str:
    """Without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_UNDIVIDED))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@lru_cache(maxsize=50_000)
def _one_script(word: str) -> str:
    """A word of mixed Cyrillic and Latin letters in the script that it is meant in."""
    cyrillic = [c for c in word if "\u0400" <= c <= "\u04ff"]
    latin = [c for c in word if "a" <= c <= "z"]
    if not cyrillic or not latin:
        return word
    # Letters that only one script has decide; where there are none, the commoner script.
    proper = sum(c not in _ALIKE_CYRILLIC for c in cyrillic) - sum(c not in _ALIKE_LATIN for c in latin)
    is_cyrillic = proper > 0 or (proper == 0 and len(cyrillic) >= len(latin))
    return word.translate(_TO_CYRILLIC if is_cyrillic else _TO_LATIN)


def _without_forms(words: list[str]) -> tuple[list[str], set[str]]:
    """The words between legal forms at the beginning and at the end, and those forms; one word is always left."""
    forms: set[str] = set()
    while length := _form_length(words, at_end=True):
        forms.add(LEGAL_FORMS["".join(words[-length:])])
        words = words[:-length]
        while len(words) > 1 and words[-1] in _CONNECTIVES:
            words = words[:-1]
    while length := _form_length(words, at_end=False):
        forms.add(LEGAL_FORMS["".join(words[:length])])
        words = words[length:]
    return words, forms


def _form_length(words: list[str], *, at_end: bool) -> int:
    """How many words at one end spell a legal form (``s p a`` is one); 0 when none does or nothing would be left."""
    for length in range(min(_LONGEST_FORM, len(words) - 1), 0, -1):
        part = words[-length:] if at_end else words[:length]
        spelt_apart = length == 1 or all(len(word) <= 3 for word in part)
        if spelt_apart and "".join(part) in LEGAL_FORMS:
            return length
    return 0
