"""The page that a one-time link opens. The link's secret stands behind `#`, which browsers send to nobody: it is in no
log, no history (the page takes it out) and no Referer; one press of a button uses it."""

from golive.gateway.secure_headers import page_headers

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:15vh auto 0;padding:0 1rem}
button{font:inherit;padding:.5rem 1.5rem}
"""
_SCRIPT = """
const link = location.hash.slice(1), said = document.getElementById("said"), go = document.getElementById("go");
history.replaceState(null, "", location.pathname);
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
PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>golive: log in</title><style>{_STYLE}</style></head>
<body><h1>golive</h1><p id="said">Ask for a link: <code>golive login-link</code>.</p>
<button id="go" hidden>Log in</button><script>{_SCRIPT}</script></body></html>
""".encode()
PAGE_HEADERS = page_headers(styles=(_STYLE,), scripts=(_SCRIPT,), asks=True)
