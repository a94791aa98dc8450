"""The list of shipped models, `models/manifest.json`: what each file is, and whether it is whole.

    python -m genrl_ros.deploy.manifest models             # verify
    python -m genrl_ros.deploy.manifest models --write     # after a model was made

Each folder of models has a `CARD.md` that says how the model was made and what it can do. One line
of the card starts with `Licence:`; the manifest takes the licence of the folder's files from it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from genrl_ros.system.files import read_json, sha256, write_json

FORMAT_VERSION = 1
MANIFEST = 'manifest.json'
CARD = 'CARD.md'

_LICENCE = re.compile(
    r'^[^\w\n]*licen[cs]e[^\w\n]*:[^\w\n]*(.*?)\W*$', re.IGNORECASE | re.MULTILINE
)


class ManifestError(ValueError):
    """The list of models cannot be read or written; the message says which file, and why."""


@dataclass(frozen=True)
class ModelFile:
    """One shipped file.

    Attributes:
        path: relative to the folder of the manifest, with forward slashes.
        sha256: hex digest of the contents.
        bytes: size.
        licence: SPDX identifier, as the card says it.
        card: the card that describes the file, relative as `path` is.
    """

    path: str
    sha256: str
    bytes: int
    licence: str
    card: str


def read(root: Path) -> tuple[ModelFile, ...]:
    """What the manifest in `root` lists.

    Raises:
        ManifestError: if there is no manifest, or it is not one.
    """
    path = root / MANIFEST
    try:
        document = read_json(path)
        version = document['format_version']
        entries = document['files']
        if version != FORMAT_VERSION:
            raise ManifestError(
                f'{path} has the format {version}, this program reads {FORMAT_VERSION}'
            )
        return tuple(_model_file(entry) for entry in entries)
    except ManifestError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f'{path} is no manifest of models: {error}') from None


def verify(root: Path) -> list[str]:
    """What is wrong with the models in `root`, one sentence each; empty if nothing is.

    Raises:
        ManifestError: if the manifest itself cannot be read.
    """
    listed = {file.path: file for file in read(root)}
    present = {path.relative_to(root).as_posix() for path in _model_paths(root)}
    problems = [f'{name} is not in the manifest' for name in sorted(present - set(listed))]
    for name, file in listed.items():
        if name not in present:
            problems.append(f'{name} is missing')
        elif (size := (root / name).stat().st_size) != file.bytes:
            problems.append(f'{name} has {size:,} bytes, but should have {file.bytes:,}')
        elif sha256(root / name) != file.sha256:
            problems.append(f'{name} has other contents than it was shipped with')
    return problems


def write(root: Path) -> tuple[ModelFile, ...]:
    """List all files in `root`, and write the manifest atomically.

    Raises:
        ManifestError: if a folder has no card, or its card names no licence.
    """
    files = []
    for path in _model_paths(root):
        card = path.parent / CARD
        files.append(
            ModelFile(
                path=path.relative_to(root).as_posix(),
                sha256=sha256(path),
                bytes=path.stat().st_size,
                licence=_licence(card),
                card=card.relative_to(root).as_posix(),
            )
        )
    entries = [asdict(file) for file in files]
    write_json(root / MANIFEST, {'format_version': FORMAT_VERSION, 'files': entries})
    return tuple(files)


def _model_paths(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob('*'))
        if path.is_file()
        and path != root / MANIFEST
        and not any(part.startswith('.') for part in path.relative_to(root).parts)
    ]


def _licence(card: Path) -> str:
    if not card.is_file():
        raise ManifestError(f'{card} is missing: every folder of models has a card')
    found = _LICENCE.search(card.read_text(encoding='utf-8'))
    if found is None or not found[1]:
        raise ManifestError(f'{card} names no licence: add a line such as "Licence: Apache-2.0"')
    return found[1]


def _model_file(entry: dict[str, Any]) -> ModelFile:
    file = ModelFile(**entry)
    for field in fields(file):
        expected = int if field.name == 'bytes' else str
        if type(getattr(file, field.name)) is not expected:
            raise ManifestError(f'"{field.name}" of {file.path} must be of type {expected}')
    if Path(file.path).is_absolute() or '..' in Path(file.path).parts:
        raise ManifestError(f'{file.path} is outside the folder of models')
    return file


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify or write a manifest; returns the exit status."""
    parser = argparse.ArgumentParser(description='Verify or write the list of shipped models.')
    parser.add_argument('root', type=Path, help='the folder of models')
    parser.add_argument('--write', action='store_true', help='write the manifest anew')
    options = parser.parse_args(arguments)
    try:
        if options.write:
            write(options.root)
        problems = verify(options.root)
    except ManifestError as error:
        problems = [str(error)]
    sys.stderr.writelines(f'{problem}\n' for problem in problems)
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
