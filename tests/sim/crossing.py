"""The checker of tenants: nothing of one is ever written, shown, told or sent with what is another's."""

import msgspec

from tests.sim.checker import Checker, Violation, case_of
from tests.sim.clients import Client, Seen
from tests.sim.database import Appended
from tests.sim.providers import CASE
from tests.sim.whose import TENANTS, tenant_named


class Crossing(Checker):
    """Two tenants ask the same agents, in conversations of the same names: each is given what is its own."""

    name = "crossing"

    def on_append(self, done: Appended) -> None:
        tenant = done.lease.tenant
        if any(event.tenant != tenant for event in done.events):
            raise Violation(f"{done.lease.run} of {tenant} is written events of another tenant")
        found = case_of(self.world, list(done.events)) if done.events and done.events[0].seq == 1 else None
        if found is not None and found[0].tenant != tenant:
            raise Violation(f"{done.lease.run}, asked for by {found[0].tenant}, is a run of {tenant}")

    def on_frame(self, client: Client, seen: Seen) -> None:
        for name in CASE.findall(msgspec.json.encode(seen.data)):
            whose = tenant_named(name)
            if whose != client.case.tenant:
                raise Violation(f"{client.name} of {client.case.tenant} is shown {name.decode()} of {whose}")

    def at_rest(self) -> None:
        for name, provider in self.world.providers.items():
            if provider.mixed:
                raise Violation(f"{name} was sent words of several tenants in one request: {provider.mixed[0]}")
        for told in self.world.office.told:
            if told.tenant != self.world.tenant_of(told.run):
                raise Violation(f"of {told.run} the webhook was told as of a run of {told.tenant}")
        for run in self.runs():
            mine = self.world.tenant_of(run)
            for tenant in TENANTS:
                store = self.world.database.opened.tenant(tenant)
                if tenant != mine and (
                    self.world.database.now(store.run(run)) or self.world.database.now(store.events(run, 0, 1))
                ):
                    raise Violation(f"{run} of {mine} is there for {tenant}")
