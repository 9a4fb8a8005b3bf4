"""Who is told the whole of an error, of the journal and of health, and who is told words, and whom to ask.

Whoever acts across tenants, and whoever is of the tenant that the installation belongs to, runs it, and is told all.
Owns that; the words are `core/outsiders.py`'s.
"""

from msgspec import structs

from golive.core import outsiders
from golive.core.errors import GoliveError
from golive.core.events import Event
from golive.core.health import Dependency
from golive.gateway.exchange import Exchange
from golive.gateway.problems import told_outside
from golive.tenants.authorize import INSTALLATION, Principal


def runs_it(principal: Principal | None) -> bool:
    """Whether references, settings and remedies of the installation may be named to who asks (None: nobody known)."""
    return principal is not None and (principal.across or principal.home == INSTALLATION)


def told(exchange: Exchange, error: GoliveError, reference: str = "") -> GoliveError:
    """The error as who asks may know it; `reference`: under which the log has the rest, where no run does."""
    if runs_it(exchange.known):
        return told_outside(error)
    name = exchange.run or error.fields.get("run") or reference
    ask = f"Ask whoever runs this server, and name {name}: its log has the reason." if name else outsiders.ASK
    if error.retry_helps:
        ask = f"Try again in a moment. {ask}"
    return outsiders.told(told_outside(error), ask)


def journalled(principal: Principal, event: Event) -> bytes:
    """The body of an event as who asks may know it, as JSON."""
    return event.body if runs_it(principal) else outsiders.journalled(event)


def health(principal: Principal, one: Dependency) -> Dependency:
    """The state of a dependency as who asks may know it: for people of a tenant without its cause and credentials."""
    if runs_it(principal):
        return one
    return structs.replace(
        one, detail="", breakers=tuple(structs.replace(each, credential="") for each in one.breakers)
    )
