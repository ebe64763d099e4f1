"""A real, headless Chromium, steered through its DevTools protocol over a pair of pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PATIENCE_S = 60.0
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip
# Chromium reads its orders from descriptor 3 and answers on 4.
_PLACE = (
    "import fcntl, os, sys\n"
    "orders, answers = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])\n"
    "os.dup2(orders, 3)\nos.dup2(answers, 4)\nos.execvp(sys.argv[3], sys.argv[3:])"
)


def chromium() -> str:
    """Where it is. Raises `FileNotFoundError`: what the page looks like is not left untested."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError("there is no Chromium: install it (on Debian: apt-get install chromium)")


class Browser:
    """One window. `complaints` is all that its console said that is no plain log line."""

    def __init__(self, home: Path) -> None:
        orders, self._to = os.pipe()
        self._from, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLACE, str(orders), str(answers), chromium(), *_FLAGS, f"--user-data-dir={home}"],
            pass_fds=(orders, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(home)},
            start_new_session=True,
        )
        os.close(orders)
        os.close(answers)
        self._rest = b""
        self._asked = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.kill()
        self._process.wait()

    # --- the protocol -------------------------------------------------------------------------------------------------

    def call(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        order = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._to, json.dumps(order).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._asked:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                return heard["result"]

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], PATIENCE_S)
            block = os.read(self._from, 1 << 20) if ready else b""
            if not block:
                raise RuntimeError("Chromium does not answer")
            self._rest += block
        one, _, self._rest = self._rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(one)
        self._note(heard.get("method", ""), heard.get("params", {}))
        return heard

    def _note(self, method: str, about: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])

    # --- the window ---------------------------------------------------------------------------------------------------

    def look(self, *, width: int, height: int = 900, dark: bool = False, scripts: bool = True) -> None:
        """How large it is, and what whoever sits before it prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def open(self, url: str) -> None:
        found = self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        self.until("document.readyState === 'complete'", url)

    def ask(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str, what: str) -> None:
        """Wait until that holds in the page."""
        self.wait(lambda: self.ask(script), what)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Until it holds, with patience."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {PATIENCE_S:.0f} s in vain: {what}")
            time.sleep(0.05)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """What it shows, as a PNG; `whole`: with what is below the window, too."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
