"""A person with a browser: opens a page, follows redirects, signs in, agrees to whatever is asked, until nothing is left.

    python browser.py CA URL [NAME=VALUE …]

CA: the roots to trust, PEM. What else the person knows (a code) stands behind the URL. Ends well when the last page has no form any more and was answered with 2xx.
"""

import http.cookiejar
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser

ANSWERS = {"login": "somebody", "username": "somebody", "password": "pass/+%: word"}
MOST_PAGES = 20


class Form(HTMLParser):
    """The first form of a page, as a person sends it who presses its button."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.inside = None, {}, False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form" and self.action is None:
            self.action, self.inside = attrs.get("action", ""), True
        elif self.inside and tag in ("input", "button") and attrs.get("name"):
            name = attrs["name"]
            self.fields[name] = ANSWERS.get(name) or attrs.get("value") or ""

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False


def main(ca, url, *known):
    ANSWERS.update(pair.split("=", 1) for pair in known)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
    )
    data = None
    for _ in range(MOST_PAGES):
        try:
            answer = opener.open(url, data, timeout=10)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{error.code} at {error.url}: {error.read().decode()[:500]}") from error
        with answer:
            page, url = answer.read().decode(), answer.url
        form = Form(page)
        if form.action is None:
            print(f"the last page, at {url.partition('?')[0]}: {page[:200]}")
            return
        url = urllib.parse.urljoin(url, form.action)
        data = urllib.parse.urlencode(form.fields).encode()
    raise SystemExit(f"{MOST_PAGES} pages, and no end: the last was {url}")


main(*sys.argv[1:])
