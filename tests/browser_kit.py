"""A browser for tests of logins: cookies, redirects, and the one thing that golive's pages do by themselves."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from yarl import URL

REFRESH = re.compile(r'http-equiv="refresh" content="0;url=([^"]+)"')
SAID = re.compile(r'<p id="said">(.*?)</p>')


class Page(NamedTuple):
    """Where the browser is, and what it shows. `said`: golive's own words, where it says any."""

    url: str
    status: int
    text: str
    cookies: list[str]

    @property
    def said(self) -> str:
        found = SAID.search(self.text)
        return "" if found is None else found[1]


class Browser:
    """Follows redirects as browsers do. `trail`: every address that it was at."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.trail: list[str] = []

    def cookies(self, url: str) -> dict[str, str]:
        """What it would send there."""
        return {name: cookie.value for name, cookie in self.http.cookie_jar.filter_cookies(URL(url)).items()}

    def take(self, url: str, cookies: Mapping[str, str]) -> None:
        """Takes cookies that are another's."""
        self.http.cookie_jar.update_cookies(cookies, URL(url))

    async def go(
        self, url: str, *, form: Mapping[str, str] | None = None, site: str = "none", stop: str | None = None
    ) -> Page:
        """Goes there, and where that leads; not to an address that begins with `stop`, which is then the page's."""
        method, data = ("GET", None) if form is None else ("POST", dict(form))
        for _ in range(10):
            self.trail.append(url)
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            asked = self.http.request(method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False)
            async with asked as answer:
                text = await answer.text()
                cookies = answer.headers.getall("Set-Cookie", [])
                if answer.status not in (301, 302, 303, 307, 308):
                    return Page(url, answer.status, text, cookies)
                before, url = url, str(URL(url).join(URL(answer.headers["Location"], encoded=True)))
            if stop is not None and url.startswith(stop):
                return Page(url, answer.status, text, cookies)
            method, data = "GET", None
            site = site if URL(before).origin() == URL(url).origin() else "cross-site"
        raise AssertionError(f"it leads in circles: {self.trail}")

    async def log_in(self, url: str, sub: str, *, stop: str | None = None) -> Page:
        """From golive's address, through the issuer's form as this user, to the page that golive then shows."""
        form = await self.go(url)
        assert form.status == 200, form
        return await self.go(form.url, form={"sub": sub}, stop=stop)

    async def follow(self, page: Page) -> Page:
        """What a page of golive's leads on to by itself."""
        found = REFRESH.search(page.text)
        assert found is not None, page
        return await self.go(str(URL(page.url).join(URL(found[1], encoded=True))), site="same-origin")


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A new one, for the block."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Browser(http)
