"""mypy --strict as a reader of the library would run it on code of their own."""

import sys
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[1]


def check(folder: Path, sources: dict[str, str]) -> str:
    """What mypy says of these files, by name, once they are written to `folder`."""
    for name, source in sources.items():
        (folder / name).write_text(source)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\nmypy_path = {ROOT}\n")
    options = ["--config-file", str(folder / "mypy.ini"), "--python-executable", sys.executable]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "strict")]
    said, trouble, _ = api.run([*options, *cache, *(str(folder / name) for name in sources)])
    assert not trouble, trouble
    return said
