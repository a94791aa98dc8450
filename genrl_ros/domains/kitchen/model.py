"""The MuJoCo model of the Franka kitchen, made cheap to draw in 64x64 pixels.

The scene is the one that the gymnasium-robotics package ships: the same meshes, textures, joints
and actuators as the paper's kitchen. Only what cannot be seen at 64x64 is changed: the visual
meshes of the arm have 134,000 of the scene's 140,000 faces, and are simplified to a few hundred
each. Collision shapes, masses and everything else that moves the simulation are left alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path

import fast_simplification
import mujoco
import numpy as np
import numpy.typing as npt
import trimesh

from genrl_ros.domains import view
from genrl_ros.system.files import atomic_file, sha256

FACES_PER_MESH = 300
CACHE_VERSION = 1

Mesh = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]


def load_model() -> mujoco.MjModel:
    """The compiled kitchen; about half a second.

    Source: gymnasium-robotics 1.4.2, `envs/assets/kitchen_franka` (Apache-2.0).

    Raises:
        FileNotFoundError: if the gymnasium-robotics package lacks the scene.
    """
    scene = scene_path()
    spec = mujoco.MjSpec.from_file(str(scene))
    for mesh in spec.meshes:
        if mesh.file.startswith('visual/'):
            vertices, faces = _simplified(scene.parents[1] / 'franka_assets/meshes' / mesh.file)
            mesh.file = ''
            mesh.uservert = vertices.ravel()
            mesh.userface = faces.ravel()
            mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL
    view.prepare(spec)
    return spec.compile()


def scene_path() -> Path:
    """The scene's file in the gymnasium-robotics package, which is found and not imported.

    Raises:
        FileNotFoundError: if there is no such package, or it lacks the scene.
    """
    package = importlib.util.find_spec('gymnasium_robotics')
    folder = Path(package.origin).parent if package and package.origin else Path()
    path = folder / 'envs/assets/kitchen_franka/kitchen_assets/kitchen_env_model.xml'
    if not path.is_file():
        raise FileNotFoundError(
            f'the kitchen scene is missing: {path}; install gymnasium-robotics 1.4.2 '
            'in this environment'
        )
    return path


def cache_dir() -> Path:
    """Where simplified meshes are kept between runs."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'genrl_ros' / 'meshes'


def _simplified(source: Path) -> Mesh:
    """Vertices `(V, 3)` and faces `(F, 3)` of a mesh, from the cache where it is there."""
    digest = sha256(source)[:16]
    cached = cache_dir() / f'{source.stem}-{digest}-{FACES_PER_MESH}-v{CACHE_VERSION}.npz'
    try:
        with np.load(cached, allow_pickle=False) as arrays:
            return arrays['vertices'], arrays['faces']
    except (OSError, ValueError, KeyError):
        pass  # not there yet, or damaged: it is made anew
    full = trimesh.load_mesh(source)
    vertices, faces = fast_simplification.simplify(
        np.asarray(full.vertices, np.float32),
        np.asarray(full.faces, np.int32),
        target_count=FACES_PER_MESH,
    )
    mesh = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    _store(cached, mesh)
    return mesh


def _store(path: Path, mesh: Mesh) -> None:
    """Keep the mesh; without a writable cache it is simplified at every start."""
    with (
        contextlib.suppress(OSError),
        atomic_file(path) as temporary,
        temporary.open('wb') as file,
    ):
        np.savez(file, vertices=mesh[0], faces=mesh[1])
