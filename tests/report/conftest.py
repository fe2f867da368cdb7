"""A small run made by hand, and a real browser driven through chromedriver's own HTTP protocol."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """Headless Chromium. Only what the tests need of the WebDriver protocol."""

    def __init__(self, driver: str, chromium: str, profile: Path, dark: bool = False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.base = f"http://127.0.0.1:{port}"
        try:
            self._wait()
            arguments = [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,1000"]
            if dark:
                arguments.append("--blink-settings=preferredColorScheme=0")
            options = {"binary": chromium, "args": arguments}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            self.base += (
                "/session/" + self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            )
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait(self):
        for _ in range(300):
            try:
                if self._ask("GET", "/status")["ready"]:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise TimeoutError("chromedriver does not answer")

    def _ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from None

    def open(self, path):
        self._ask("POST", "/url", {"url": Path(path).absolute().as_uri()})

    def js(self, script, *args):
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def click(self, selector):
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def press(self, selector, *keys):
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": "".join(keys)})

    def _find(self, selector):
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return next(iter(found.values()))

    def devtools(self, command, **parameters):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def errors(self):
        """What the console says; a page of a report says nothing."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path, width=1280, whole=True):
        """A picture of the page, down to its end."""
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1}
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": clip} if whole else {}))
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def print_to_pdf(self, path):
        Path(path).write_bytes(base64.b64decode(self.devtools("Page.printToPDF", printBackground=True)["data"]))

    def close(self):
        try:
            self._ask("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


@pytest.fixture(scope="session")
def start_browser():
    """Start a browser in an empty profile folder."""
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium: apt-get install chromium chromium-driver")

    def start(profile, dark=False):
        return Browser(driver, chromium, profile, dark)

    return start
