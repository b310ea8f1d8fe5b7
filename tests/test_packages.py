"""What is published: metadata, the citation, and a source archive with everything that its tests read."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_classifiers_name_the_pythons_that_ci_runs() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.fullmatch(r".*:: 3\.\d+", c)}
    assert named == set(re.findall(r"interpreter (3\.\d+)\)", CI))
    assert PROJECT["requires-python"] == f">={min(named, key=lambda version: int(version[2:]))}"


def test_the_citation_is_of_this_version() -> None:
    entries = dict(
        re.findall(r"^([a-z-]+):[ \n]+(.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert entries["version"] == PROJECT["version"]
    assert entries["license"] == PROJECT["license"]
    assert entries["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(entries)
    assert entries["authors"] == f"- name: {PROJECT['authors'][0]['name']}"


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not re.match(r"https?://|#", link)]
    assert all((ROOT / link.partition("#")[0]).exists() for link in links)


def test_the_source_archive_holds_what_the_repository_does() -> None:
    """Every file under version control is named by ``MANIFEST.in`` or is part of the package."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("not a repository")
    manifest = (ROOT / "MANIFEST.in").read_text(encoding="utf-8")
    grafted = re.findall(r"^graft (\S+)$", manifest, re.MULTILINE)
    single = [name for line in re.findall(r"^include (.*)$", manifest, re.MULTILINE) for name in line.split()]
    always = ["README.md", "LICENSE", "pyproject.toml", "MANIFEST.in", ".gitignore"]
    left = [
        name
        for name in listed.stdout.splitlines()
        if not name.startswith(tuple(f"{folder}/" for folder in [*grafted, "hessian"])) and name not in single + always
    ]
    assert left == []
