"""Headless Chromium, driven over its DevTools pipe: no driver program, no web socket, no package.

Chromium started with ``--remote-debugging-pipe`` reads JSON commands from file descriptor 3 and writes answers and
events to descriptor 4, each ended by a zero byte. WebGL runs on the SwiftShader that ships inside, so that pictures
are the same on every machine.
"""

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

FLAGS = (
    *("--headless", "--no-sandbox", "--remote-debugging-pipe"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--disable-dev-shm-usage", "--disable-extensions", "--mute-audio", "--hide-scrollbars"),
    *("--force-device-scale-factor=1", "--force-color-profile=srgb", "about:blank"),
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class BrowserError(RuntimeError):
    """Chromium did not do what it was asked to."""


def find_chromium() -> str | None:
    """Path of a Chromium on this machine: ``LYRA_CHROMIUM``, else the first of the usual names."""
    named = os.environ.get("LYRA_CHROMIUM")
    return named or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Chromium:
    """One browser process; a context manager.

    Args:
        program: path of the executable.
        patience: seconds that any single command or wait may take on a busy machine.
    """

    def __init__(self, program: str, patience: float = 120.0) -> None:
        self.patience = patience
        self._profile = tempfile.mkdtemp(prefix="lyra-chromium-")
        from_us, self._out = os.pipe()
        self._in, from_it = os.pipe()
        # Moved above 4 first, so that neither is overwritten while they are put in place.
        ends = [os.dup(os.dup(os.dup(end))) for end in (from_us, from_it)]
        with open(os.devnull, "wb") as nowhere:
            actions = [
                (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 2),
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
            ]
            words = [program, f"--user-data-dir={self._profile}", *FLAGS]
            self._process = os.posix_spawn(program, words, os.environ, file_actions=actions, setpgroup=0)
        for end in (from_us, from_it, *ends):
            os.close(end)
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}
        self._news = threading.Condition()
        self._last = 0
        self._closed = False
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all its children, and remove the profile."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def page(self, width: int, height: int, phone: bool = False) -> "Page":
        """A new, empty tab of that size in CSS pixels; ``phone`` adds touch and a phone's viewport rules."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        self._pages[session] = page
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.call(f"{domain}.enable")
        page.resize(width, height, phone)
        if phone:
            page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=5)
        return page

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its result."""
        with self._news:
            self._last += 1
            number = self._last
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._news:
            done = self._news.wait_for(lambda: number in self._answers or self._closed, self.patience)
            answer = self._answers.pop(number, None)
        if not done or answer is None:
            raise BrowserError(f"{method}: no answer within {self.patience:g} s")
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def _listen(self) -> None:
        waiting = b""
        with open(self._in, "rb", buffering=0) as stream:
            while chunk := stream.read(1 << 20):
                *messages, waiting = (waiting + chunk).split(b"\0")
                for text in messages:
                    self._take(json.loads(text))
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        with self._news:
            if "id" in message:
                self._answers[message["id"]] = message
                self._news.notify_all()
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]]._note(message["method"], message["params"])


class Page:
    """One tab.

    Attributes:
        complaints: errors and warnings of the console, uncaught exceptions, browser log entries, in order.
        requests: addresses that the page asked for, in order.
    """

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self.browser, self.session, self.target = browser, session, target
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command for this tab."""
        return self.browser.call(method, self.session, **parameters)

    def open(self, address: str) -> None:
        """Go to an address; returns when navigation has begun."""
        outcome = self.call("Page.navigate", url=address)
        if "errorText" in outcome:
            raise BrowserError(f"{address}: {outcome['errorText']}")

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """Set the window's inner size in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression (promises are awaited)."""
        outcome = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in outcome:
            detail = outcome["exceptionDetails"]
            raise BrowserError(detail.get("exception", {}).get("description", detail["text"]))
        return outcome["result"].get("value")

    def wait(self, condition: str, patience: float | None = None) -> float:
        """Seconds until a JavaScript expression became true; one that throws (no page yet) counts as false."""
        start = time.perf_counter()
        limit = self.browser.patience if patience is None else patience
        while not self.run(f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"):
            if time.perf_counter() - start > limit:
                raise BrowserError(f"'{condition}' did not come true within {limit:g} s; {self.complaints}")
            time.sleep(0.02)
        return time.perf_counter() - start

    def picture(self, path: Path | None = None) -> np.ndarray:
        """[H, W, 3] uint8, what a person sees; also saved if ``path`` is given."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def press(self, key: str, seconds: float = 0.0) -> None:
        """Hold a key (its DOM name, such as ``w`` or ``ArrowLeft``) for some time."""
        text = {"text": key} if len(key) == 1 else {}
        letter = len(key) == 1 and key.isalpha()
        code = {"code": f"Key{key.upper()}" if letter else {" ": "Space"}.get(key, key)}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **code, **text)
        time.sleep(seconds)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def drag(self, start: tuple[float, float], end: tuple[float, float], button: str = "left", steps: int = 5) -> None:
        """Move the mouse from one point to another with a button held."""
        held: dict[str, Any] = {"button": button, "buttons": {"left": 1, "right": 2, "middle": 4}[button]}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], clickCount=1, **held)
        for step in range(1, steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **held)
        held["buttons"] = 0
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], clickCount=1, **held)

    def wheel(self, at: tuple[float, float], distance: float) -> None:
        """Turn the mouse wheel."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=distance)

    def touch(self, *positions: list[tuple[float, float]]) -> None:
        """Fingers through a sequence of positions: each argument lists where every finger is at that moment."""
        for index, fingers in enumerate(positions):
            points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
            self.call("Input.dispatchTouchEvent", type="touchMove" if index else "touchStart", touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def click(self, selector: str) -> None:
        """Click the middle of the first element that a CSS selector finds."""
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2] })()"
        )
        self.drag((box[0], box[1]), (box[0], box[1]), steps=1)

    def close(self) -> None:
        """Close the tab."""
        self.browser.call("Target.closeTarget", targetId=self.target)

    def _note(self, event: str, values: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            words = [str(a.get("value", a.get("description"))) for a in values["args"]]
            self.complaints.append(f"{values['type']}: {' '.join(words)}")
        elif event == "Runtime.exceptionThrown":
            detail = values["exceptionDetails"]
            self.complaints.append(detail.get("exception", {}).get("description", detail["text"]))
        elif event == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{values['entry']['level']}: {values['entry']['text']}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(values["request"]["url"])
