"""Packs the npm package and the wheel, and installs both into empty folders, for the gate.

    .venv/bin/python -m tests.clients.packages

Ends with status 1 and what went wrong when one of them does not hold what it must.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENT = ROOT / "clients" / "js"
IMPORT = """
import { HubClient } from 'django-notification-hub';
const { status } = new HubClient({ baseUrl: 'https://example.com/' }).getState();
if (status !== 'idle') throw new Error(status);
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="hub-packages-") as scratch:
        try:
            say(npm_package(Path(scratch, "npm")))
            say(wheel(Path(scratch, "wheel")))
        except subprocess.CalledProcessError as problem:
            say(f"{problem}\n{problem.stdout}\n{problem.stderr}")
            return 1
        except AssertionError as problem:
            say(f"not so: {problem}")
            return 1
    return 0


def npm_package(folder: Path) -> str:
    npm, node = (shutil.which(name) or str(beside(name)) for name in ("npm", "node"))
    folder.mkdir()
    run(npm, "pack", "--pack-destination", folder, cwd=CLIENT)
    (packed,) = folder.glob("*.tgz")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    run(npm, "install", "--offline", "--no-audit", "--no-fund", packed, cwd=folder)
    (folder / "use.js").write_text(IMPORT)
    run(node, "use.js", cwd=folder)
    installed = folder / "node_modules" / "django-notification-hub"
    same(CLIENT / "src", installed / "src")
    assert (installed / "types" / "index.d.ts").exists(), "the declarations are in it"
    assert (installed / "LICENSE").exists(), "the licence is in it"
    assert not (installed / "test").exists(), "the tests are not"
    return f"{packed.name}: installed and imported"


def wheel(folder: Path) -> str:
    run(sys.executable, "-m", "build", "--outdir", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")  # built from the sdist, which therefore has all it needs
    target = folder / "installed"
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--target", target, built)
    run(sys.executable, *pip)
    same(CLIENT / "src", target / "notifications" / "static" / "notifications")
    tag = target / "notifications" / "templatetags" / "notification_hub.py"
    page = target / "notifications" / "templates" / "notifications" / "inbox.html"
    assert tag.exists() and page.exists(), "the template tag is in the wheel"
    return f"{built.name}: installed, with the client's files"


def same(source: Path, copy: Path) -> None:
    found = {path.name: path.read_text() for path in copy.glob("*.js")}
    assert found == {path.name: path.read_text() for path in source.glob("*.js")}, (
        f"{copy.parent.name}/{copy.name} is clients/js/src"
    )


def beside(name: str) -> Path:
    return Path(sys.executable).parent / name


def run(*command: object, cwd: Path | None = None) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, cwd=cwd, check=True, capture_output=True, text=True)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
