"""Builds the demo's page into a wheel that would come without one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageBuildHook(BuildHookInterface[Any]):
    """Runs npm where ``make page`` has not been run; an editable install needs no page."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page if it is missing."""
        root = Path(self.root)
        if version == "editable" or (root / "vision_agent/demo/page/index.html").is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "the demo's page is not built and npm is not there: install Node.js 18 or newer"
            )
        self.app.display_info("building the demo's page with npm")
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        for command in (["ci", "--ignore-scripts", *quiet], ["run", "--silent", "build"]):
            subprocess.run([npm, *command], cwd=root / "web", check=True)
