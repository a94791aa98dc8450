"""What pip, colcon and a newcomer rely on: versions, files, the lock, the guards of the layers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from genrl_ros.cli import main as cli
from genrl_ros.deploy import manifest
from genrl_ros.deploy.graph import NODES, NodeSpec
from genrl_ros.system.share import share_path, shipped_model

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_BYTES = 30_000_000


def text(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding='utf-8')


def tracked_files() -> list[Path]:
    if not (ROOT / '.git').exists() or shutil.which('git') is None:
        pytest.skip('not a git checkout')
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split('\0') if name and (ROOT / name).exists()]


def installed_prefix() -> Path:
    """Prefix of the installed package, which may be another one than the checkout under test."""
    path = [entry for entry in sys.path if Path(entry or '.').resolve() != ROOT]
    found = next(iter(importlib.metadata.distributions(name='genrl_ros', path=path)), None)
    if found is None:
        pytest.skip('genrl_ros is not installed: make setup')
    return Path(str(found.locate_file(''))).parents[2]


def test_all_versions_are_the_same() -> None:
    versions = {
        'package.xml': ElementTree.parse(ROOT / 'package.xml').findtext('version'),
        'genrl_interfaces/package.xml': ElementTree.parse(
            ROOT / 'genrl_interfaces' / 'package.xml'
        ).findtext('version'),
        'setup.py': re.findall(r"version='(.*)'", text('setup.py'))[0],
        'pyproject.toml': re.findall(
            r'^version = "(.*)"', text('genrl_interfaces', 'pyproject.toml'), re.MULTILINE
        )[0],
        'CHANGELOG.md': re.findall(r'^## \[?(\d\S*?)\]?( |$)', text('CHANGELOG.md'), re.MULTILINE)[
            0
        ][0],
    }
    assert len(set(versions.values())) == 1, versions


def test_every_interface_is_built() -> None:
    folder = ROOT / 'genrl_interfaces'
    files = [path for kind in ('action', 'msg', 'srv') for path in (folder / kind).iterdir()]
    listed = re.findall(
        r'^  ((?:action|msg|srv)/\S+)$', text('genrl_interfaces/CMakeLists.txt'), re.M
    )
    assert sorted(listed) == sorted(str(path.relative_to(folder)) for path in files)


def test_no_file_is_large() -> None:
    large = [str(path) for path in tracked_files() if path.stat().st_size > MAX_FILE_BYTES]
    assert not large


def test_shipped_models_are_the_listed_ones() -> None:
    assert manifest.verify(ROOT / 'models') == []


def test_no_python_module_is_left_out_of_the_package() -> None:
    folders = {path.parent for path in (ROOT / 'genrl_ros').rglob('*.py')}
    assert [str(folder) for folder in folders if not (folder / '__init__.py').exists()] == []


def test_the_lock_pins_what_setup_asks_for() -> None:
    pins = {}
    for line in text('requirements.lock').splitlines():
        if not line.startswith('#'):
            name, version = line.split('==')
            pins[canonicalize_name(name)] = version
    quoted = re.findall(r"^ {8,12}'([^':]+)',$", text('setup.py'), re.MULTILINE)
    requirements = [Requirement(line) for line in quoted]
    assert len(requirements) > 20
    for requirement in requirements:
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f'{requirement} is not in requirements.lock: make lock'
        assert requirement.specifier.contains(version), (
            f'{requirement} against {version}: make lock'
        )


def test_shared_files_are_found_in_the_checkout() -> None:
    assert share_path('package.xml') == ROOT / 'package.xml'


def test_shared_files_are_found_in_ament_prefixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'share' / 'genrl_ros' / 'config' / 'elsewhere.yaml'
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    assert share_path('config', 'elsewhere.yaml') == file


def test_a_domain_without_a_shipped_model_is_told_those_with_one() -> None:
    assert shipped_model('kitchen') == share_path('models', 'kitchen')
    with pytest.raises(
        FileNotFoundError, match="for 'nowhere', only for kitchen, walker: .* --model"
    ):
        shipped_model('nowhere')


def test_a_missing_shared_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r'models/teapot is not among the shared files'):
        share_path('models', 'teapot')


def shared_folders() -> list[str]:
    """As setup.py names them."""
    (names,) = re.findall(r'^SHARED = \((.*)\)$', text('setup.py'), re.MULTILINE)
    return re.findall(r"'(\w+)'", names)


@pytest.mark.parametrize('folder', shared_folders())
def test_the_installed_package_is_complete(folder: str) -> None:
    prefix = installed_prefix()
    assert (prefix / 'share/ament_index/resource_index/packages/genrl_ros').is_file()
    files = [path for path in tracked_files() if path.is_relative_to(ROOT / folder)]
    assert files, f'setup.py shares {folder}/, which is not there'
    installed = [prefix / 'share' / 'genrl_ros' / path.relative_to(ROOT) for path in files]
    assert [str(path) for path in installed if not path.is_file()] == [], 'make setup'


@pytest.mark.parametrize('node', NODES, ids=[node.name for node in NODES])
def test_ros_finds_every_node(node: NodeSpec) -> None:
    assert f"'{node.name}'" in text('setup.py')
    assert "if __name__ == '__main__':\n    main()" in text(
        'genrl_ros', 'nodes', f'{node.name}.py'
    )
    launcher = installed_prefix() / 'lib' / 'genrl_ros' / node.name
    assert launcher.stat().st_mode & 0o111
    assert f'-m genrl_ros.nodes.{node.name} ' in launcher.read_text()


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_subcommand_has_arguments_and_a_main(name: str) -> None:
    command = cli.load(name)
    assert dataclasses.is_dataclass(command.Config)
    assert command.Config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert callable(command.main)


def test_help_imports_nothing_heavy() -> None:
    code = (
        'import sys; from genrl_ros.cli.main import main; main(["--help"]);'
        'print(sorted({"numpy", "torch", "tyro", "rclpy", "mujoco"} & set(sys.modules)))'
    )
    shown = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == '[]'
    for name in cli.COMMANDS:
        assert f'  {name} ' in shown.stdout


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['--version']) == 0
    version = importlib.metadata.version('genrl_ros')
    assert capsys.readouterr().out == f'genrl_ros {version}\n'
    assert f'<version>{version}</version>' in (ROOT / 'package.xml').read_text()


def test_an_unknown_subcommand_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['dance']) == cli.USAGE_ERROR
    assert "there is no command 'dance'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('path', 'code', 'refused'),
    [
        ('genrl_ros/training/loop.py', 'import rclpy\n', True),
        ('genrl_ros/envs/robot.py', 'def f():\n    from std_msgs.msg import Header\n', True),
        ('genrl_ros/world_model/load.py', 'import torch\n\ntorch.load("x")\n', True),
        ('genrl_ros/nodes/ros/robot.py', 'import rclpy\n', False),
        ('test/ros/test_robot.py', 'import rclpy\n', False),
    ],
)
def test_ros_and_pickles_are_kept_out(path: str, code: str, refused: bool) -> None:
    command = [
        sys.executable,
        '-m',
        'ruff',
        'check',
        '--select',
        'TID251',
        '--stdin-filename',
        path,
    ]
    done = subprocess.run([*command, '-'], input=code, cwd=ROOT, capture_output=True, text=True)
    assert ('TID251' in done.stdout) == refused, done.stdout + done.stderr
