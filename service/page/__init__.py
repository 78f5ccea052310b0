"""The page for people: static files, which ask /calls and /metrics twice a second."""

from functools import cache
from importlib.resources import files

from callfsm.call.table import CALL
from callfsm.fsm.diagram import Format, render

FILES = ("index.html", "page.css", "page.js")
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def page_files() -> dict[str, tuple[str, bytes]]:
    """The type and the bytes of each file, by its path; the diagram is drawn from the table."""
    texts = {name: files(__name__).joinpath(name).read_text("utf-8") for name in FILES}
    texts["call.svg"] = render(CALL, Format.SVG)
    found = {
        f"/{name}": (f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8", text.encode())
        for name, text in texts.items()
    }
    return found | {"/": found["/index.html"]}
