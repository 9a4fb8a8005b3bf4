"""Which languages there are, as far as a list that does not grow can tell: those of two letters (ISO 639-1)."""

from golive.core.words import is_language

_LISTED = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw ja
ji jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na
nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq
sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
"""Those of IANA's registry of subtags, the withdrawn ones that it keeps included. Of three letters there are 8,000."""
_TWO_LETTERS = frozenset(_LISTED.split())


def may_be_spoken(tag: str) -> bool:
    """Whether the tag has a tag's form, and its first part that of a language there is: `german` is none, `de` is."""
    language = tag.partition("-")[0].lower()
    return is_language(tag) and (language in _TWO_LETTERS or len(language) == 3)
