"""A crash report as it may be read by others: the traceback with every credential taken out.

The last exit: what no log caught, and a command's own words on standard error. It knows shapes, and the values of
variables of the environment whose names say that they are secret.
"""

import re
import traceback
from collections.abc import Mapping

from golive.guards.redact import Redactor

_TELLING = re.compile(r"(?i)(key|token|secret|password|passwd|credential|pepper)s?(_\d+)?$")


def redactor_of(environ: Mapping[str, str]) -> Redactor:
    """One that knows what the environment's variables of telling names hold."""
    return Redactor([value for name, value in environ.items() if _TELLING.search(name)])


def report(error: BaseException, environ: Mapping[str, str]) -> str:
    """The traceback, readable, without credentials."""
    return redactor_of(environ).text("".join(traceback.format_exception(error)))
