from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrl_ros.deploy import manifest
from genrl_ros.deploy.manifest import ManifestError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / 'kitchen'
    folder.mkdir()
    (folder / 'mfwm.safetensors').write_bytes(b'weights')
    (folder / 'CARD.md').write_text('# Kitchen\n\n- **Licence:** Apache-2.0\n')
    return tmp_path


def rewrite(root: Path, **changes: object) -> None:
    path = root / 'manifest.json'
    document = json.loads(path.read_text())
    document['files'][-1].update(changes)
    path.write_text(json.dumps(document))


def test_every_file_is_listed_with_licence_and_card(root: Path) -> None:
    manifest.write(root)
    assert [(file.path, file.licence, file.card, file.bytes) for file in manifest.read(root)] == [
        ('kitchen/CARD.md', 'Apache-2.0', 'kitchen/CARD.md', 37),
        ('kitchen/mfwm.safetensors', 'Apache-2.0', 'kitchen/CARD.md', 7),
    ]
    assert manifest.verify(root) == []


def test_writing_twice_changes_nothing(root: Path) -> None:
    assert manifest.write(root) == manifest.write(root)


@pytest.mark.parametrize('card', ['Licence: MIT', 'license: MIT.', '| Licence: `MIT` |'])
def test_the_licence_is_read_from_the_card(root: Path, card: str) -> None:
    (root / 'kitchen' / 'CARD.md').write_text(f'# A model\n{card}\nand more\n')
    assert {file.licence for file in manifest.write(root)} == {'MIT'}


def test_changed_missing_and_extra_files_are_found(root: Path) -> None:
    manifest.write(root)
    weights = root / 'kitchen' / 'mfwm.safetensors'
    weights.write_bytes(b'WEIGHTS')
    assert manifest.verify(root) == [
        'kitchen/mfwm.safetensors has other contents than it was shipped with'
    ]
    weights.write_bytes(b'weight')
    assert manifest.verify(root) == ['kitchen/mfwm.safetensors has 6 bytes, but should have 7']
    weights.rename(weights.with_suffix('.bin'))
    assert manifest.verify(root) == [
        'kitchen/mfwm.bin is not in the manifest',
        'kitchen/mfwm.safetensors is missing',
    ]


def test_a_folder_without_a_card_is_refused(root: Path) -> None:
    (root / 'kitchen' / 'CARD.md').unlink()
    with pytest.raises(ManifestError, match=r'kitchen/CARD.md is missing'):
        manifest.write(root)
    assert not (root / 'manifest.json').exists()


@pytest.mark.parametrize('card', ['', '# Kitchen\n', 'Licence:\n\nMIT\n'])
def test_a_card_without_a_licence_is_refused(root: Path, card: str) -> None:
    (root / 'kitchen' / 'CARD.md').write_text(card)
    with pytest.raises(ManifestError, match='names no licence'):
        manifest.write(root)


@pytest.mark.parametrize('content', ['', '[]', '{', '{"format_version": 1}', '\x00'])
def test_what_is_no_manifest_is_refused(root: Path, content: str) -> None:
    (root / 'manifest.json').write_text(content)
    with pytest.raises(ManifestError, match='is no manifest of models'):
        manifest.verify(root)


def test_a_missing_manifest_is_refused(root: Path) -> None:
    with pytest.raises(ManifestError, match='manifest.json'):
        manifest.verify(root)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'path': '../secret'}, 'outside the folder'),
        ({'path': '/etc/passwd'}, 'outside the folder'),
        ({'bytes': '7'}, '"bytes" of kitchen/mfwm.safetensors must be'),
        ({'bytes': True}, '"bytes" of kitchen/mfwm.safetensors must be'),
        ({'colour': 'blue'}, 'is no manifest of models'),
    ],
)
def test_a_senseless_entry_is_refused(
    root: Path, changes: dict[str, object], message: str
) -> None:
    manifest.write(root)
    rewrite(root, **changes)
    with pytest.raises(ManifestError, match=message):
        manifest.verify(root)


def test_a_manifest_of_another_format_is_refused(root: Path) -> None:
    (root / 'manifest.json').write_text('{"format_version": 2, "files": []}')
    with pytest.raises(ManifestError, match='has the format 2'):
        manifest.read(root)


def test_the_command_says_what_is_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert manifest.main([str(root)]) == 1
    assert manifest.main([str(root), '--write']) == 0
    (root / 'kitchen' / 'mfwm.safetensors').unlink()
    capsys.readouterr()
    assert manifest.main([str(root)]) == 1
    assert capsys.readouterr().err == 'kitchen/mfwm.safetensors is missing\n'
