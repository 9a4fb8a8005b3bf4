"""The pages of logging in and out. Nothing in them comes from outside but names of the configuration, and is escaped.

A one-time link's secret stands behind `#`, which browsers send to nobody: it is in no log, no history (the page takes
it out) and no Referer; one press of a button uses it.
"""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote, urlsplit

from golive.gateway.secure_headers import page_headers

AFTER = "/docs"
"""The page after a login that names none."""
MOST_PATH = 500

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:15vh auto 0;padding:0 1rem}
button,.go{font:inherit;display:inline-block;padding:.5rem 1.5rem;margin:.25rem 0}
.go{border:1px solid;border-radius:.3rem;text-decoration:none;color:inherit}
[hidden]{display:none}
"""
_SCRIPT = """
const link = location.hash.slice(1), said = document.getElementById("said"), go = document.getElementById("go");
history.replaceState(null, "", location.pathname + location.search);
if (link) { go.hidden = false; said.textContent = "This link works once."; }
go.addEventListener("click", async () => {
  go.disabled = true;
  const answer = await fetch("/login", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ link }),
  });
  if (answer.ok) { location.replace("/docs"); return; }
  const problem = await answer.json();
  said.textContent = problem.detail + " " + (problem.remedy || "");
  go.hidden = true;
});
"""
_LEAVE = """
const said = document.getElementById("said"), go = document.getElementById("go");
go.addEventListener("click", async () => {
  go.disabled = true;
  const answer = await fetch("/logout", { method: "POST" });
  said.textContent = answer.ok ? "You are logged out of golive." : "There is no session.";
  go.hidden = true;
  const issuer = answer.ok ? (await answer.json()).end_session : "";
  if (issuer) { const on = document.getElementById("on"); on.href = issuer; on.hidden = false; }
});
"""
PAGE_HEADERS = page_headers(styles=(_STYLE,), scripts=(_SCRIPT,), asks=True)
LEAVE_HEADERS = page_headers(styles=(_STYLE,), scripts=(_LEAVE,), asks=True)
TOLD_HEADERS = page_headers(styles=(_STYLE,))
HTML = b"text/html; charset=utf-8"


def _html(title: str, body: str, head: str = "") -> bytes:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
{head}<title>golive: {title}</title><style>{_STYLE}</style></head>
<body><h1>golive</h1>{body}</body></html>
""".encode()


def login_page(offered: Sequence[tuple[str, str]] = (), then: str = "") -> bytes:
    """The page of /login. `offered`: (name, title) of issuers; `then`: the page that comes after, "" for the usual."""
    more = f"?next={quote(then, safe='')}" if then else ""
    ways = "".join(
        f'<p><a class="go" href="/login/start/{escape(quote(name))}{escape(more)}">Log in with {escape(title)}</a></p>'
        for name, title in offered
    )
    hint = "Or ask" if offered else "Ask"
    said = f'<p id="said">{hint} for a link: <code>golive login-link</code>.</p>'
    return _html("log in", f'{ways}{said}\n<button id="go" hidden>Log in</button><script>{_SCRIPT}</script>')


PAGE = login_page()
"""Where there are no issuers to log in with."""
LEAVE_PAGE = _html(
    "log out",
    '<p id="said">This ends your session here. At your issuer you stay logged in.</p>'
    '<button id="go">Log out</button> <a class="go" id="on" hidden>Log out at your issuer, too</a>'
    f"<script>{_LEAVE}</script>",
)


def going_on(then: str) -> bytes:
    """After a login with an issuer. It is a page and no redirect: the browser comes from another site, and only what
    a page of ours asks for carries the session."""
    there = escape(then)
    return _html(
        "logged in", f'<p>You are logged in.</p><p><a class="go" href="{there}">Go on</a></p>',
        f'<meta http-equiv="refresh" content="0;url={there}">\n',
    )  # fmt: skip


def told(words: str, remedy: str) -> bytes:
    """That a login came to nothing."""
    said = f'<p id="said">{escape(words)} {escape(remedy)}</p>'
    return _html("not logged in", f'{said}<p><a class="go" href="/login">Back to the login</a></p>')


def path_here(text: str) -> str | None:
    """The text, if it is the address of a page of this server and can be no other's; None otherwise."""
    fits = text[:1] == "/" and text[1:2] not in ("/", "\\") and len(text) <= MOST_PATH
    if not fits or "\\" in text or not all("!" <= char <= "~" for char in text):
        return None
    parts = urlsplit(text)
    if parts.scheme or parts.netloc or parts.path.startswith(("/login", "/logout")):
        return None
    return text
