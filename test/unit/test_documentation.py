"""What the documentation points to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from results import blocks, foreign_figures, read

from genrl_ros.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'docs' / 'results'
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')])


@pytest.mark.parametrize('page', PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_and_pictures_exist(page: Path) -> None:
    links = re.findall(r'\]\(([^)#\s]+)[^)]*\)|src="([^"]+)"', page.read_text(encoding='utf-8'))
    local = [link for pair in links for link in pair if link and '://' not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_facts_that_code_names_are_in_the_page() -> None:
    page = (ROOT / 'docs' / 'facts.md').read_text(encoding='utf-8')
    sections = set(re.findall(r'^#+ (\d[\d.]*\d|\d)\.? ', page, re.MULTILINE))
    named = {
        section: module
        for module in (ROOT / 'genrl_ros').rglob('*.py')
        for section in re.findall(r'\bfacts (\d(?:\.\d)?)', module.read_text(encoding='utf-8'))
    }
    assert len(named) > 5, 'the docstrings name their sources otherwise than this test reads them'
    assert {section: module for section, module in named.items() if section not in sections} == {}


def listed_commands(readme: str) -> list[str]:
    """What the table under "Commands" names after `genrl`, its first column alone."""
    section = readme.partition('\n## Commands\n')[2].partition('\n## ')[0]
    cells = [row.split('|')[1] for row in section.splitlines() if row.startswith('| ')]
    quoted = [code for cell in cells if '`genrl ' in cell for code in re.findall(r'`(.+?)`', cell)]
    return [code.removeprefix('genrl ').split()[0] for code in quoted]


def test_the_readme_lists_every_subcommand_and_no_other() -> None:
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    assert sorted(listed_commands(readme)) == sorted(cli.COMMANDS)


def test_a_command_that_the_readme_names_elsewhere_is_not_listed() -> None:
    readme = 'genrl up\n## Commands\n| | |\n| `genrl a X`, `b` | as `genrl c` |\n## Wire\n| `d` |'
    assert listed_commands(readme) == ['a', 'b']


OPTION = r'(?<!\S)--[a-z][\w.-]*'


def named_options(page: str) -> dict[str, set[str]]:
    """The options that a page gives to each `genrl COMMAND`; on a line, or in `backticks`."""
    found: dict[str, set[str]] = {}
    page = page.replace('\\\n', ' ')
    for command, rest in re.findall(r'(?:^|[\s`(])genrl ([a-z-]+)([^`\n#]*)', page):
        found.setdefault(command, set()).update(re.findall(OPTION, rest))
    return found


def test_every_command_and_option_that_a_page_names_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    named: dict[str, set[str]] = {}
    for page in [*PAGES, *(ROOT / 'models').rglob('CARD.md')]:
        for command, options in named_options(page.read_text(encoding='utf-8')).items():
            named.setdefault(command, set()).update(options)
    named.pop('--version', None)
    assert set(named) == set(cli.COMMANDS)
    unknown = {}
    for command, options in named.items():
        with pytest.raises(SystemExit):
            cli.main([command, '--help'])
        known = re.findall(r'--[a-z][\w.-]*', capsys.readouterr().out)
        unknown[command] = options - set(known)
    assert {command: options for command, options in unknown.items() if options} == {}


def test_options_of_a_page_are_found() -> None:
    page = 'x\n    genrl up a \\\n      --no-sim   # --not\n`genrl task --stop` or `--other`\n'
    assert named_options(page) == {'up': {'--no-sim'}, 'task': {'--stop'}}


def test_the_figures_of_the_documentation_are_those_of_the_results() -> None:
    shown: set[str] = set()
    for page in PAGES:
        for name, block in blocks(page.read_text(encoding='utf-8')):
            shown.add(name)
            assert foreign_figures(block, read(RESULTS / f'{name}.json')) == [], page
    assert shown == {path.stem for path in RESULTS.glob('*.json')}
    assert any(blocks((ROOT / 'README.md').read_text(encoding='utf-8')))


@pytest.mark.parametrize(
    ('block', 'wrong'),
    [
        ('20 episodes, 0.99 in the mean\n', []),
        ('- 21 episodes\n- 0.98 in the mean\n', ['21', '0.98']),
        (
            '| task | success |\n|---|---|\n| light | 0.95 \u00b1 0.05 |\n| **mean** | 0.988 |\n',
            [],
        ),
        ('| task | success |\n|---|---|\n| light | 1.00 |\n', ['light: 1.00']),
        ('| task | success |\n|---|---|\n| kettle | 1 |\n', ['kettle: 0 results of that name']),
    ],
)
def test_a_figure_that_is_not_in_the_results_is_found(block: str, wrong: list[str]) -> None:
    light = {'score': 0.95, 'se': 0.0487, 'episodes': 20}
    results = {'tasks': {'light': light, 'microwave': {'score': 1.0}}, 'mean': 0.9875}
    ((name, text),) = blocks(f'<!-- results: kitchen -->\n\n{block}\nmore: 7\n')
    assert (name, foreign_figures(text, results)) == ('kitchen', wrong)


@pytest.mark.parametrize(
    'page', ['<!-- results kitchen -->\n\n7\n', '<!-- results: kitchen -->\n']
)
def test_a_marker_that_marks_nothing_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match='a marker must be'):
        blocks(page)
