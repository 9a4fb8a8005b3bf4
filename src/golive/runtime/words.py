"""Words for users, per agent and language: which variant a run speaks, and a sentence in it."""

from collections.abc import Iterable, Mapping

from golive.core.words import WAYS

Messages = Mapping[str, str | Mapping[str, str]]
"""An agent's `[messages]`: key -> words; language -> the same in that language; `language` -> that of the former."""
DEFAULT_LANGUAGE = "en"


def choose(messages: Messages, wanted: Iterable[str]) -> str:
    """The variant for the first of the wanted languages that the agent has; "" is the one without a language.

    A regional tag (`de-AT`) is also served by its language (`de`). What `language` of the agent's messages says (`en`
    by default) is the language of the words that belong to no variant.
    """
    variants = {key.lower(): key for key, words in messages.items() if not isinstance(words, str)}
    own = str(messages.get("language", DEFAULT_LANGUAGE)).lower()
    for tag in wanted:
        whole = tag.lower()
        for name in (whole, whole.partition("-")[0]):
            if name in variants:
                return variants[name]
            if name == own:
                return ""
    return ""


def say(messages: Messages, language: str, way: str, **values: str) -> str:
    """The sentence for a way of degrading, in the variant, else in the agent's own words, else in English."""
    variant = messages.get(language) if language else None
    words = variant.get(way) if isinstance(variant, Mapping) else None
    if words is None:
        own = messages.get(way)
        words = own if isinstance(own, str) else WAYS[way].words
    return words.format_map(values)
