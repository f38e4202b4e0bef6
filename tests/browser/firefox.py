"""A real Firefox ESR, driven over Marionette, its own protocol: no driver program is needed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests import tether
from tests.waiting import wait_for

START = 60.0  # seconds; the first start on a busy machine
STOP = 10.0
ANSWER = 30.0  # seconds that one command may take

#: Firefox speaks to nobody but us, and asks nobody anything.
PREFERENCES: dict[str, object] = {
    # No desktop around it: it draws notifications itself.
    "alerts.useSystemBackend": False,
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "dom.push.connection.enabled": True,
    "dom.push.retryBaseInterval": 100,  # milliseconds
    "dom.push.testing.allowInsecureServerURL": True,
    "dom.push.testing.ignorePermission": True,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "marionette.port": 0,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    # Without a network, as in a container, it must still reach this machine.
    "network.manage-offline-status": False,
    # Marionette would switch push off, among other things.
    "remote.prefs.recommended": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "signon.rememberSignons": False,
    "toolkit.telemetry.server": "data:,",
    "toolkit.telemetry.unified": False,
}


def executable() -> str | None:
    named = os.environ.get("HUB_TEST_FIREFOX")
    return named or shutil.which("firefox-esr") or shutil.which("firefox")


class MarionetteError(Exception):
    """What Firefox answered instead of doing it."""


class Firefox:
    """One browser with an empty profile."""

    def __init__(self, path: str, **preferences: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-firefox-"))
        profile = self.folder / "profile"
        profile.mkdir()
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in (PREFERENCES | preferences).items()
        ]
        (profile / "user.js").write_text("".join(lines))
        self._port_file = profile / "MarionetteActivePort"
        self._command = [path, "--headless", "--no-remote", "--marionette", "--profile", profile]
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._number = 0

    def __enter__(self) -> Self:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "MOZ_HEADLESS": "1"}
        self._process = tether.start(
            self._command, log=self.folder / "log", cwd=self.folder, env=environment
        )
        try:
            wait_for(self._listens, START, what=f"Firefox to listen\n{self.log}")
            # Its own words first: who it is.
            self._receive()
            self.command("WebDriver:NewSession", capabilities={})
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self.log
        text = self._port_file.read_text() if self._port_file.exists() else ""
        if not text.strip().isdigit():
            return False
        try:
            self._socket = socket.create_connection(("127.0.0.1", int(text)), timeout=ANSWER)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            # With its processes for pages, which are in its group.
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait(STOP)
        shutil.rmtree(self.folder, ignore_errors=True)

    # The protocol: JSON with its length before it; [0, number, command, arguments] is answered by
    # [1, number, error, result].

    def command(self, name: str, **arguments: Any) -> Any:
        assert self._socket is not None
        self._number += 1
        words = json.dumps([0, self._number, name, arguments]).encode()
        self._socket.sendall(b"%d:%s" % (len(words), words))
        _, number, error, result = self._receive()
        assert number == self._number
        if error:
            raise MarionetteError(f"{error['error']}: {error['message']}")
        return result.get("value") if isinstance(result, dict) and "value" in result else result

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._exactly(1)
        return json.loads(self._exactly(int(length[:-1])))

    def _exactly(self, count: int) -> bytes:
        assert self._socket is not None
        found = b""
        while len(found) < count:
            part = self._socket.recv(count - len(found))
            assert part, f"Firefox has gone\n{self.log}"
            found += part
        return found

    # What a person does

    def go(self, url: str) -> None:
        self.command("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of an expression in the page, awaited."""
        body = f"""
            const finish = [...arguments].pop();
            (async (...given) => ({script}))(...arguments).then(
                (value) => finish({{ value }}),
                (error) => finish({{ error: String(error) }}),
            );
        """
        found = self.command("WebDriver:ExecuteAsyncScript", script=body, args=list(arguments))
        if "error" in found:
            raise MarionetteError(found["error"])
        return found.get("value")

    def element(self, css: str) -> str:
        found = self.command("WebDriver:FindElement", using="css selector", value=css)
        return str(next(iter(found.values())))

    def click(self, css: str) -> None:
        self.command("WebDriver:ElementClick", id=self.element(css))

    def click_in(self, host: str, css: str) -> None:
        """In the shadow of an element."""
        root = self.command("WebDriver:GetShadowRoot", id=self.element(host))
        found = self.command(
            "WebDriver:FindElementFromShadowRoot",
            shadowRoot=next(iter(root.values())),
            using="css selector",
            value=css,
        )
        self.command("WebDriver:ElementClick", id=next(iter(found.values())))

    def write(self, css: str, text: str) -> None:
        self.command("WebDriver:ElementSendKeys", id=self.element(css), text=text)
