"""As users get it: the wheel, put into a home of its own by the tools that the README names, away from the checkout."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layerwatch import __version__

TOP = Path(__file__).parent.parent
WEB = TOP / "layerwatch" / "web"
TOOLS = Path(sys.executable).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    built = subprocess.run(build, cwd=TOP, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{built.stderr}\n(hatchling is one of the `dev` extras)"
    (path,) = directory.iterdir()
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def run(home: Path, tmp_path: Path) -> Run:
    """Run something in that home. The versions are those that are tested; packages may come from the caches."""
    locked = re.findall(r"^[\w.-]+==[^ \\]+(?: ; [^\\]+)?", (TOP / "requirements.lock").read_text(), re.MULTILINE)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(locked))
    ours = ("LAYER", "PYTHON", "XDG_", "PIPX_", "VIRTUAL_ENV", "UV_TOOL", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:{os.defpath}",
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(CACHE / "pip")),
        "PIP_CONSTRAINT": str(constraints),
        "PIP_NO_COMPILE": "1",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(CACHE / "uv")),
        "UV_CONSTRAINT": str(constraints),
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
    }

    def in_home(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)

    return in_home


INSTALLERS = {
    "uv": (("tool", "install", "--python", sys.executable), ".local/share/uv/tools/layerwatch"),
    "pipx": (("install", "--python", sys.executable), ".local/share/pipx/venvs/layerwatch"),
}


@pytest.mark.parametrize("installer", INSTALLERS)
def test_it_works_away_from_the_checkout(installer: str, wheel: Path, home: Path, run: Run) -> None:
    arguments, place = INSTALLERS[installer]
    assert (TOOLS / installer).exists(), f"{installer} is missing: it is one of the `dev` extras"
    installed = run(TOOLS / installer, *arguments, wheel)
    assert installed.returncode == 0, f"are PyPI's packages to be had here?\n{installed.stdout}{installed.stderr}"

    paths = run(home / place / "bin/python", "-c", "import layerwatch, sys; print(layerwatch.__file__, *sys.path)")
    assert paths.stdout.startswith(f"{home / place}/"), paths.stderr
    assert str(TOP) not in paths.stdout

    layerwatch = home / ".local/bin/layerwatch"
    assert run(layerwatch, "--version").stdout == f"layerwatch, version {__version__}\n"
    assert "demo" in run(layerwatch, "--help").stdout
    init = run(layerwatch, "init", "--folder", "drop", "--workspace", "00000000-0000-4000-8000-000000000001")
    assert init.returncode == 0, init.stderr
    assert (home / "config.toml").read_text().startswith("# Configuration of layerwatch")

    # Everything that it needs is imported before it looks for a token.
    started = run(layerwatch, "run")
    assert started.returncode == 2
    assert "there is no API token" in started.stderr
    assert "Traceback" not in started.stderr


# --- the wheel --------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        example = archive.read("layerwatch/config.example.toml")
    info = f"layerwatch-{__version__}.dist-info"
    held = {name for name in names if not name.startswith(f"{info}/")}
    sources = {str(path.relative_to(TOP)) for path in (TOP / "layerwatch").rglob("*.py")}
    page = {str(each.relative_to(TOP)) for part in ("templates", "static") for each in (WEB / part).iterdir()}
    assert {"layerwatch/web/templates/page.html", "layerwatch/web/static/page.js"} <= page
    assert held - sources == {"layerwatch/config.example.toml", "layerwatch/py.typed"} | page
    assert (sources | page) - held == set()
    assert example == (TOP / "config.example.toml").read_bytes()
    assert {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= names


def test_the_wheel_needs_what_the_project_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"layerwatch-{__version__}.dist-info/METADATA").decode()
    required = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    needed = {re.split(r"[<>=;]", line)[0] for line in required if "extra ==" not in line}
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert needed == {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert f"Requires-Python: {project['requires-python']}" in metadata
