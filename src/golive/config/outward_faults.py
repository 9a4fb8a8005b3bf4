"""What [webhooks] and [schedules] say that cannot be meant: an agent that there is not, a time that never comes."""

from collections.abc import Collection, Iterator

from golive.config.contradictions import Origin
from golive.config.problems import Problem, shown
from golive.config.schema import GoliveConfig
from golive.config.suggest import did_you_mean
from golive.config.tree import KeyPath, dotted
from golive.core.cron import BadCron, BadTimezone, Cron, timezones


def outward_faults(config: GoliveConfig, agents: Collection[str], origin_of: Origin) -> list[Problem]:
    """All of them.

    Args:
        agents: the names of those that there are, the ones that cannot be served included.
    """
    found: list[Problem] = []
    for name, webhook in config.webhooks.items():
        path: KeyPath = ("webhooks", name)
        for agent in webhook.agents:
            found += _unknown_agent((*path, "agents"), agent, agents, origin_of)
        if webhook.outcomes and "run.finished" not in webhook.topics:
            key = (*path, "outcomes")
            message = f"`{dotted(key)}` chooses among finished runs, but `topics` does not name `run.finished`."
            remedy = "Add it to `topics`, or remove `outcomes`."
            found.append(Problem(dotted(key), ", ".join(webhook.outcomes), origin_of(key), message, remedy))
    for name in config.schedules:
        found += _schedule(config, name, agents, origin_of)
    return found


def _schedule(config: GoliveConfig, name: str, agents: Collection[str], origin_of: Origin) -> Iterator[Problem]:
    schedule, path = config.schedules[name], ("schedules", name)
    yield from _unknown_agent((*path, "agent"), schedule.agent, agents, origin_of)
    try:
        Cron(schedule.cron, schedule.timezone)
    except BadTimezone:
        remedy = did_you_mean(schedule.timezone, timezones()) if schedule.timezone else "Write one such as `UTC`."
        remedy = remedy or "It knows `UTC` alone: install the system's package tzdata."
        what = "is no time zone that this machine knows"
        yield _fault((*path, "timezone"), schedule.timezone, what, remedy, origin_of)
    except BadCron as error:
        remedy = "Write minute, hour, day of the month, month and day of the week, such as `0 7 * * MON-FRI`."
        yield _fault((*path, "cron"), schedule.cron, f"is no time that comes: {error}", remedy, origin_of)
    if not schedule.input.strip():
        yield _fault((*path, "input"), schedule.input, "is empty", "Write what the run begins with.", origin_of)


def _unknown_agent(path: KeyPath, agent: str, agents: Collection[str], origin_of: Origin) -> Iterator[Problem]:
    if agent not in agents:
        remedy = did_you_mean(agent, agents) or "There is no agent yet: begin with `golive new NAME`."
        yield _fault(path, agent, "is no agent that there is", remedy, origin_of)


def _fault(path: KeyPath, value: str, what: str, remedy: str, origin_of: Origin) -> Problem:
    key = dotted(path)
    return Problem(key, value, origin_of(path), f"`{key}` is {shown(path, value)}, which {what}.", remedy)
