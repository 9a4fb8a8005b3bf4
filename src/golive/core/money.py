"""Money as whole micro-dollars, so that sums never drift."""

from decimal import ROUND_CEILING, Decimal

MICROUSD_PER_USD = 1_000_000


def microusd(usd: Decimal) -> int:
    """Dollars to micro-dollars, rounded up: golive never counts less than a provider bills."""
    return int((usd * MICROUSD_PER_USD).to_integral_value(ROUND_CEILING))


def usd_text(amount_microusd: int) -> str:
    """For people: `$0.001234`, at least two and at most six decimals."""
    whole, rest = divmod(abs(amount_microusd), MICROUSD_PER_USD)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount_microusd < 0 else ''}${whole}.{decimals}"
