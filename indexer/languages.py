"""Stemmers and stop lists by language."""

from importlib.resources import files

from patientdx.capabilities import require_package
from patientdx.characters import word_pattern
from patientdx.errors import InputError

EXTRA = "languages"
ENGLISH_STEMMERS = ("porter", "english")


def stemmer_names() -> tuple[str, ...]:
    """The algorithms of Snowball, by their languages, and "none"."""
    import Stemmer

    return ("none", *Stemmer.algorithms())


def english_stop_words() -> tuple[str, ...]:
    """Snowball's English list, which is shipped."""
    package = __package__ or "indexer"
    text = files(package).joinpath("stopwords/english.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def stop_list_names() -> tuple[str, ...]:
    """The languages with a stop list in the package `stop-words`.

    Raises ExtraMissingError where it is not installed.
    """
    require_package("stop_words", EXTRA)
    from stop_words import AVAILABLE_LANGUAGES

    return tuple(AVAILABLE_LANGUAGES)


def stop_list(language: str) -> tuple[str, ...]:
    """The single words of a language's stop list, in lower case and sorted.

    Raises InputError for a language without a list.
    """
    languages = stop_list_names()
    if language not in languages:
        names = ", ".join(sorted({"none", "english", *languages}))
        raise InputError(
            f"unknown stop list `{language}`", hint=f"a file of words, or a name: {names}"
        )
    from stop_words import get_stop_words

    words = (word.lower() for word in get_stop_words(language))
    return tuple(sorted({word for word in words if word_pattern().fullmatch(word)}))


def default_stop_list(stemmer: str) -> str:
    """The stop list that goes with a stemmer: that of its language, `none` where there is none."""
    if stemmer in ("none", *ENGLISH_STEMMERS):
        return "english"
    if stemmer not in stemmer_names():  # refused where the settings are made
        return "none"
    language = stemmer.removesuffix("_porter")
    return language if language in stop_list_names() else "none"
