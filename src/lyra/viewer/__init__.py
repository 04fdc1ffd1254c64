"""Look at a scene in the browser: one page, served on the loopback address or written as a single file."""

from lyra.viewer.html_file import PAGE_FILE, export_html
from lyra.viewer.server import SceneServer
from lyra.viewer.site import scene_site

__all__ = ["PAGE_FILE", "SceneServer", "export_html", "scene_site"]
