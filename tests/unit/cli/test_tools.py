"""Programs are found by any of their names, and a stub or an old version does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.tools import Tool, apt_command, major_version


def program(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_second_name_is_found(on_path: Path) -> None:
    tool = Tool(("first", "second"), "package", "a test")
    assert tool.path() is None
    found = program(on_path, "second", "#!/bin/sh\n")
    assert tool.path() == str(found)


def test_a_snap_stub_is_no_browser(on_path: Path) -> None:
    program(on_path, "chromium", '#!/bin/sh\necho "run: snap install chromium"\n')
    real = program(on_path, "chromium-browser", "#!/bin/sh\nexec browser\n")
    assert Tool(("chromium", "chromium-browser"), "chromium", "a test").path() == str(real)


def test_an_old_major_version_does_not_count(on_path: Path) -> None:
    node = program(on_path, "node", "#!/bin/sh\necho v18.19.0\n")
    assert major_version(str(node)) == 18
    assert Tool(("node",), "nodejs", "a test", major_min=20).path() is None
    assert Tool(("node",), "nodejs", "a test", major_min=18).path() == str(node)


def test_a_program_that_does_not_run_has_no_version(on_path: Path) -> None:
    broken = program(on_path, "node", "#!/nowhere/interpreter\n")
    assert major_version(str(broken)) == 0


def test_the_apt_command_names_each_package_once() -> None:
    assert apt_command(["mosquitto", "chromium"]) == "sudo apt install chromium mosquitto"
