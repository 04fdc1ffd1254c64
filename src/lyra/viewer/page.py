"""The page itself: markup, style and program from ``assets``, filled with one scene.

It forbids itself every request to elsewhere: its content security policy names its own style and program by checksum
and allows nothing but them, a worker made by the program, and (when served) files from the same server.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from lyra import __version__


def build_page(manifest: dict[str, Any], embedded: Sequence[tuple[str, str]] = ()) -> str:
    """HTML text of the page.

    Args:
        manifest: what viewer/src/manifest.ts describes.
        embedded: pairs of element id and base64 text, for sets whose ``source`` is ``#id``. Without any, the page may
            fetch from its own server.
    """
    style, script = _asset("viewer.css"), _asset("viewer.js")
    values = {
        "policy": content_policy(connect="'none'" if embedded else "'self'"),
        "generator": f"lyra {__version__}",
        "title": html.escape(manifest["title"]),
        "style": style,
        "script": script,
        # "<" inside a string would let a title end the script element
        "manifest": json.dumps(manifest, separators=(",", ":")).replace("<", "\\u003c"),
        "sets": "".join(f'<script type="text/plain" id="{name}">{text}</script>\n' for name, text in embedded),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda slot: values[slot[1]], _asset("page.html"))


def content_policy(connect: str) -> str:
    """The content security policy of the page, ``connect`` being where it may fetch from."""
    style, script = (_checksum(_asset(name)) for name in ("viewer.css", "viewer.js"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; worker-src blob:; img-src data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return files("lyra.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
