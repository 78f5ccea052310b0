"""The page in a real browser: Chromium runs it against a server with calls."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from gevent import subprocess
from server_fixture import House, eventually, said, serving, speech
from test_web import exchanged, get

from callfsm.inference.engine import Transcript
from callfsm.words import Word
from service.engines.fake import ScriptedEngine

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
VIRTUAL_MS = 3_000  # of the page's own time, which runs as fast as it can
PATIENCE_S = 60.0  # a browser's first start on a busy machine

needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium: run `make browser` as root")


class Page(HTMLParser):
    """What a reader sees: the text of each element by its tag, #id or .class."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self._open: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"meta", "link"}:  # they have no end
            return
        given = dict(attrs)
        names = [tag, f"#{given.get('id')}"]
        names += [f".{name}" for name in (given.get("class") or "").split()]
        self._open.append(names)
        for name in names:
            self.texts.setdefault(name, []).append("")

    def handle_endtag(self, _: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for names in self._open:
            for name in names:
                self.texts[name][-1] += data


def shown(house: House, folder: Path) -> Page:
    """The page of the server after some looks at it."""
    command = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",  # as root there is none
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'browser'}",
        f"--virtual-time-budget={VIRTUAL_MS}",
        "--dump-dom",
        f"http://127.0.0.1:{house.http_port}/",
    ]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=PATIENCE_S, check=True
    )
    return Page(done.stdout.decode())


@needs_browser
def test_every_call_has_its_row_and_its_state(tmp_path: Path) -> None:
    """A call that is over and one that waits: their texts, and a count at each one's state."""
    with serving(tmp_path, http_port=0) as house, house.peer(8) as waiting:
        house.caller(7, speech(7, 10)).run()
        house.expect(7, said(7, 10))
        waiting.begin()
        eventually(lambda: house.state(8) == "buffering", "connection")
        page = shown(house, tmp_path)
    first, second = page.texts["tr"][1:]
    assert first == f"7closed2.0 s0.0 s10{said(7, 10)}"
    assert second == "8buffering0.0 s0.0 s0"
    assert page.texts["#state-closed"][0].endswith("1")
    assert page.texts["#state-buffering"][0].endswith("1")
    assert page.texts[".count"] == ["1", "1"]
    assert page.texts["dl"][0].startswith("calls1contexts busy0contexts failed0windows waiting0")
    assert page.texts["#trouble"] == [""]


@needs_browser
def test_words_that_may_still_change_are_marked(tmp_path: Path) -> None:
    """They stand behind the text, and look otherwise."""
    with serving(tmp_path, http_port=0) as house, house.peer(7) as peer:
        peer.begin()
        peer.send_audio(speech(7, 30), 320)
        eventually(lambda: house.at_sink(7) != "", "text")
        house.script.hold()
        eventually(lambda: house.state(7) == "inferring", "the next window")
        held = house.server.switchboard.sessions[7].call.merger.held
        page = shown(house, tmp_path)
        assert page.texts[".tentative"] == [" ".join(word.text for word in held)]


@needs_browser
def test_what_callers_say_is_text_and_no_markup(tmp_path: Path) -> None:
    """Words come from outside: none of them becomes part of the page."""
    evil = "<img src=x onerror=document.body.remove()>"
    heard = Transcript((Word(evil, 0.1, 0.5),), 0.1)
    with serving(
        tmp_path, make_engine=lambda: ScriptedEngine([heard, heard]), contexts=1, http_port=0
    ) as house:
        house.caller(7, speech(7, 8)).run()
        eventually(lambda: house.state(7) == "", "end of the call")
        page = shown(house, tmp_path)
    assert page.texts[".text"] == [evil]
    assert "img" not in page.texts


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", b"<!doctype html>"), ("/page.js", b"use strict"), ("/call.svg", b"state-inferring")],
)
def test_the_page_is_served_whole(tmp_path: Path, path: str, kind: bytes) -> None:
    """Without anything from elsewhere: an operator's machine may have no network."""
    with serving(tmp_path, http_port=0) as house:
        status, body = get(house, path)
        assert status == "HTTP/1.1 200 OK"
        assert kind in body
        assert b"https://" not in body


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/call.svg"])
def test_nothing_but_our_own_files_may_run(tmp_path: Path, path: str) -> None:
    """Should words of a caller ever become markup, the browser still refuses scripts from them."""
    with serving(tmp_path, http_port=0) as house:
        head, _, _ = exchanged(house, f"GET {path} HTTP/1.0\r\n\r\n".encode()).partition(
            b"\r\n\r\n"
        )
    [policy] = [line for line in head.splitlines() if line.startswith(b"Content-Security-Policy")]
    assert b"default-src 'self'" in policy
    assert b"script-src" not in policy
