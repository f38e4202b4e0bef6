"""The inbox page in a real browser, full of hostile texts: it shows them, and runs none."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from notifications import send_notification
from notifications.errors import HubError
from tests.browser.conftest import chromium, person  # noqa: F401 - fixtures
from tests.hostile import texts
from tests.processes import ServerProcess
from tests.waiting import wait_for

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]

#: Every element of the page, also within open shadow roots.
ALL = """
function* all(root) {
  for (const element of root.querySelectorAll('*')) {
    yield element;
    if (element.shadowRoot) yield* all(element.shadowRoot);
  }
}
"""
#: Text that a person sees, without what the browser adds at line breaks.
SHOWN = f"""(() => {{ {ALL}
  return [document, ...[...all(document)].flatMap((it) => it.shadowRoot ?? [])]
    .map((root) => (root.body ?? root).textContent).join('\\n');
}})()"""
LINKS = f"(() => {{ {ALL} return [...all(document)].flatMap((it) => it.href ? [it.href] : []) }})()"
TAGS = f"(() => {{ {ALL} return [...all(document)].map((it) => it.localName) }})()"
HANDLERS = f"""(() => {{ {ALL}
  return [...all(document)].flatMap((it) => it.getAttributeNames())
    .filter((name) => name.startsWith('on'));
}})()"""


def test_a_page_full_of_hostile_texts(
    server: ServerProcess,
    alice: Any,
    person: Callable[..., Any],  # noqa: F811
) -> None:
    sent = []
    for number, text in enumerate(texts.ALL):
        send_notification("post_like", users=alice, title=line(text), message=text, author=alice)
        sent.append(line(text))
        for url in texts.URLS[number : number + 1]:
            try:
                send_notification("post_like", users=alice, title=f"url {number}", url=url)
            except HubError:
                continue
    context = person("alice")
    asked: list[str] = []
    dialogs: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page = context.new_page()
    page.goto("/")

    seen: set[str] = set()

    def everything_was_shown() -> bool:
        """By and by: the list draws what is on the screen, and loads more at its end."""
        shown = page.evaluate(SHOWN)
        seen.update(text for text in sent if text in shown)
        more = page.locator("button:visible", has_text="more")
        if more.count():
            more.first.click()
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(30)
        return seen == set(sent)

    page.mouse.move(400, 400)
    wait_for(everything_was_shown, 60, every=0, what="every title to be shown")
    send_notification("post_like", users=alice, title=f"{texts.MARKUP[0]} live")
    wait_for(lambda: f"{texts.MARKUP[0]} live" in at_the_top(page), 15, what="the live one")

    assert page.evaluate("window.ran") is None
    assert dialogs == []
    assert urlsplit(page.url).path == "/"
    assert page.evaluate(HANDLERS) == []
    assert not {"iframe", "object", "embed", "base", "math"} & set(page.evaluate(TAGS))
    assert {urlsplit(url).scheme for url in page.evaluate(LINKS)} <= {"http", "https"}
    hosts = {urlsplit(url).netloc for url in asked if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {f"127.0.0.1:{server.port}"}


def at_the_top(page: Any) -> str:
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.wheel(0, -5000)
    return str(page.evaluate(SHOWN))


def line(text: str) -> str:
    """What a title takes of it."""
    return text.replace("\r", " ").replace("\n", " ")[:200]
