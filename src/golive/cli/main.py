"""The `golive` command: which commands there are, and how errors are told. A command is imported only to be run."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import typer

from golive import __version__
from golive.core.errors import GoliveError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class Command(NamedTuple):
    """Where a command lives. A module whose attribute is `app` brings subcommands."""

    module: str
    attribute: str
    help: str
    panel: str


BUILD, RUN, PROVE, ADMIN = "Build an agent", "Serve and use it", "Prove it", "Operate it"
COMMANDS: dict[str, Command] = {
    "demo": Command("golive.cli.demo", "demo", "Watch an agent survive a provider's outage, in a minute.", BUILD),
    "new": Command("golive.cli.new", "new", "Write a new agent that runs.", BUILD),
    "dev": Command("golive.cli.dev", "dev", "Serve while you edit: reloads agents, prints a key.", BUILD),
    "serve": Command("golive.cli.serve", "serve", "Serve in production.", RUN),
    "run": Command("golive.cli.run", "run", "Send one message and watch the answer stream.", RUN),
    "agents": Command("golive.cli.agents", "agents", "List the agents and their versions.", RUN),
    "breakers": Command("golive.cli.breakers", "breakers", "Show the circuit breakers of models, or close them.", RUN),
    "models": Command("golive.cli.models", "models", "List what can be asked as `model`.", RUN),
    "runs": Command("golive.cli.runs", "app", "List, show, follow and steer runs.", RUN),
    "decisions": Command("golive.cli.decisions", "decisions", "List what runs wait for a person to decide.", RUN),
    "schedules": Command("golive.cli.schedules", "app", "Show which runs begin by the clock, and begin one now.", RUN),
    "webhooks": Command("golive.cli.webhooks", "app", "Show whom golive tells when runs end, send again, test.", RUN),
    "check": Command("golive.cli.check", "check", "Provoke what production brings, and answer GO or NO-GO.", PROVE),
    "sim": Command("golive.cli.sim", "sim", "Start the simulated provider.", PROVE),
    "health": Command("golive.cli.health", "health", "Show the state of a server and all it depends on.", ADMIN),
    "login-link": Command("golive.cli.login_link", "login_link", "Make a link that logs a browser in, once.", ADMIN),
    "keys": Command("golive.cli.keys", "app", "Create, list and revoke API keys.", ADMIN),
    "tenants": Command("golive.cli.tenants", "app", "Create, suspend, erase and export tenants.", ADMIN),
    "users": Command("golive.cli.users", "app", "List, suspend, erase and export a tenant's users.", ADMIN),
    "credentials": Command("golive.cli.users", "credentials_app", "Give tenants credentials of their own.", ADMIN),
    "auth": Command("golive.cli.auth", "app", "Check tokens of OIDC issuers, show their keys, revoke tokens.", ADMIN),
    "secrets": Command("golive.cli.secrets", "app", "Show, rotate, revoke credentials; find leaked ones.", ADMIN),
    "audit": Command("golive.cli.audit", "app", "Verify, search, export the log of who did what.", ADMIN),
    "config": Command("golive.cli.config", "app", "Explain each setting: value, origin, default.", ADMIN),
    "store": Command("golive.cli.store", "app", "Verify, back up, restore, copy, migrate the database.", ADMIN),
    "version": Command("golive.cli.version", "version", "Show the versions of golive and what it runs on.", ADMIN),
}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"golive {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """The production server for AI agents, and the go-live check that proves it."""


def build(argv: Sequence[str]) -> typer.Typer:
    """The command tree; only the command that `argv` names is imported, the others show their line of help."""
    app = typer.Typer(
        no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich"
    )
    app.callback()(_root)
    wanted = next((word for word in argv if not word.startswith("-")), "")
    for name, command in COMMANDS.items():
        if name != wanted:
            app.command(name, help=command.help, rich_help_panel=command.panel)(_placeholder)
            continue
        target: Any = getattr(importlib.import_module(command.module), command.attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=command.help, rich_help_panel=command.panel)
        else:
            app.command(name, rich_help_panel=command.panel)(target)
    return app


def _placeholder() -> None:
    """Stands for a command that was not asked for."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command; every expected failure ends in one clear message and an exit code, never in a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if any(word.startswith("--ca") for word in words):
        from golive.cli.trust import take_option

        words = take_option(words, os.environ)
    sys.excepthook = _uncaught
    sys.exit(call(lambda: build(words)(words, prog_name="golive", standalone_mode=True)))


def _uncaught(_: type[BaseException], error: BaseException, __: object) -> None:
    """What nobody caught: a fault of golive's own, told without credentials. Imported on the day that it happens."""
    from golive.guards.crash import report

    sys.stderr.write(report(error, os.environ))


def call(work: Callable[[], object]) -> int:
    """Runs `work`; returns the exit code."""
    try:
        work()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_ERROR
    except GoliveError as error:
        tell(error)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return 0


def tell(error: GoliveError) -> None:
    """An error as people read it: what, and what to do."""
    typer.secho("error: ", fg=typer.colors.RED, bold=True, err=True, nl=False)
    from golive.guards.crash import redactor_of

    typer.echo(redactor_of(os.environ).known(error.message), err=True)
    if error.remedy:
        typer.echo(f"  {error.remedy}", err=True)


if __name__ == "__main__":
    main()
