"""Money and bounds of the model plane: never less than was used, never drifting."""

from hypothesis import given
from hypothesis import strategies as st

from golive.core.messages import Message, Usage
from golive.models.call import ModelRequest
from golive.models.estimate import input_bound, text_bytes
from golive.models.rates import SCALE, Price, Rate

TOKENS = st.integers(min_value=0, max_value=10**8)
RATES = st.integers(min_value=0, max_value=1_000 * SCALE)


@given(tokens=TOKENS, cached=TOKENS, output=TOKENS, rates=st.tuples(RATES, RATES, RATES))
def test_a_cost_is_exact_but_for_the_last_rounding_up(
    tokens: int, cached: int, output: int, rates: tuple[int, int, int]
) -> None:
    """Less than one micro-dollar above the exact price, and never below it."""
    cached = min(cached, tokens)
    price = Price(input=Rate(rates[0]), cached_input=Rate(rates[1]), output=Rate(rates[2]))
    exact = (tokens - cached) * rates[0] + cached * rates[1] + output * rates[2]
    assert 0 <= price.cost_microusd(Usage(tokens, cached, output)) * SCALE - exact < SCALE


@given(first=st.text(), second=st.text())
def test_the_bound_on_input_never_falls_short_of_the_bytes(first: str, second: str) -> None:
    """No tokenizer makes more tokens than there are bytes, so the bound holds for all; and it is never 0."""
    request = ModelRequest(messages=(Message("system", first), Message("user", second)))
    assert input_bound(request) >= len(first.encode()) + len(second.encode()) + 1


@given(text=st.text(alphabet=st.characters()))
def test_bytes_of_text_are_its_utf_8_length(text: str) -> None:
    """Lone surrogates included, which strict UTF-8 refuses."""
    assert text_bytes(text) == len(text.encode("utf-8", "surrogatepass"))
