"""What the documentation points to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genrl_ros.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')])


@pytest.mark.parametrize('page', PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_and_pictures_exist(page: Path) -> None:
    links = re.findall(r'\]\(([^)#\s]+)[^)]*\)|src="([^"]+)"', page.read_text(encoding='utf-8'))
    local = [link for pair in links for link in pair if link and '://' not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_facts_that_code_names_are_in_the_page() -> None:
    page = (ROOT / 'docs' / 'facts.md').read_text(encoding='utf-8')
    sections = set(re.findall(r'^#+ (\d[\d.]*\d|\d)\.? ', page, re.MULTILINE))
    for module in (ROOT / 'genrl_ros').rglob('*.py'):
        for named in re.findall(r'\bfacts (\d(?:\.\d)?)', module.read_text(encoding='utf-8')):
            assert named in sections, f'{module} names facts {named}'


def test_the_readme_lists_every_subcommand() -> None:
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    named = set(re.findall(r'[a-z-]+', readme))
    assert set(cli.COMMANDS) <= named
