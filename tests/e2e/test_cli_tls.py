"""Commands against a server that speaks TLS: whom they trust, what they show of themselves, and SIGHUP."""

import os
import signal
from pathlib import Path

import pytest

from golive.checklist.certificate import make_pair
from golive.cli.trust import CA, CERT, KEY, client_context, take_option
from golive.core.clock import SystemClock
from golive.core.errors import ConfigError
from tests.e2e.process_kit import golive, project

TLS = '\n[server.tls]\ncert = "one.crt"\nkey = "one.key"\n'
MUTUAL = TLS + 'client_ca = "one.crt"\n'


def words(text: str) -> tuple[list[str], dict[str, str]]:
    environ: dict[str, str] = {}
    return take_option(text.split(), environ), environ


def test_ca_may_stand_anywhere_and_what_follows_two_dashes_is_text() -> None:
    assert words("run a b --ca x.pem --url u") == (["run", "a", "b", "--url", "u"], {CA: "x.pem"})
    assert words("--ca=x.pem runs list") == (["runs", "list"], {CA: "x.pem"})
    assert words("run a -- --ca x") == (["run", "a", "--", "--ca", "x"], {})
    assert words("run a --ca") == (["run", "a", "--ca"], {})


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for environ, key in (({CA: "none.pem"}, CA), ({CA: str(tmp_path / "empty")}, CA), ({CERT: "none.pem"}, CERT)):
        with pytest.raises(ConfigError) as refused:
            client_context(environ)
        assert refused.value.fields["key"] == key
    assert client_context({}) is None


@pytest.mark.parametrize("mutual", [False, True])
async def test_commands_speak_to_a_tls_server(tmp_path: Path, mutual: bool) -> None:
    """With --ca, GOLIVE_CA or SSL_CERT_FILE an answer comes; without one the certificate is named as the trouble."""
    pair = make_pair(tmp_path, "one", SystemClock().now())
    async with project(tmp_path, MUTUAL if mutual else TLS) as made:
        await made.serve()
        assert made.url.startswith("https://127.0.0.1:")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        asked = ("agents", "--url", made.url, "--key", made.key)
        shown = {CERT: str(pair.cert), KEY: str(pair.key)} if mutual else {}
        for more, environ in (
            (("--ca", str(pair.cert)), {}), ((), {CA: str(pair.cert)}), ((), {"SSL_CERT_FILE": str(pair.cert)}),
        ):  # fmt: skip
            code, out, err = await golive(elsewhere, *asked, *more, environ={**made.environ, **environ, **shown})
            assert (code, "talk" in out) == (0, True), err
        code, _, err = await golive(elsewhere, *asked, environ=made.environ)
        assert code == 1
        assert "--ca FILE" in err
        if mutual:
            code, _, err = await golive(elsewhere, *asked, "--ca", str(pair.cert), environ=made.environ)
            assert code == 1
        else:
            other = make_pair(tmp_path, "two", SystemClock().now())
            os.replace(other.key, pair.key)
            os.replace(other.cert, pair.cert)
            assert made.process is not None
            made.process.send_signal(signal.SIGHUP)
            for _ in range(50):
                code, _, err = await golive(elsewhere, *asked, "--ca", str(pair.cert), environ=made.environ)
                if code == 0:
                    break
            assert code == 0, err
            assert [line["event"] for line in made.log() if line["event"] == "tls.reloaded"] == ["tls.reloaded"]
