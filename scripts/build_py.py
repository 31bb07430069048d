"""The one thing that setuptools cannot be told in pyproject.toml: a data file beside a module.

`cluster.toml` is the sample beside `cluster.py`, in the tree and in the wheel alike, so that
`Path(cluster.__file__).with_name("cluster.toml")` finds it in both.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py

SAMPLE = "cluster.toml"


class BuildPy(build_py):
    """Copies the sample configuration into the wheel's root, beside the modules."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(SAMPLE, str(Path(self.build_lib, SAMPLE)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        return [*outputs, str(Path(self.build_lib, SAMPLE))]
