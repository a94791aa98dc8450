"""What MuJoCo draws of a scene: small antialiased images, without shadows and reflections."""

from __future__ import annotations

import atexit
import functools
import weakref

import mujoco
import numpy as np

from genrl_ros.system.arrays import Image
from genrl_ros.system.environment import drawing_variables

MAX_RENDER_PIXELS = 1024
"""Height and width of the largest picture that a model is prepared for."""
SUPERSAMPLING = 2


def prepare(spec: mujoco.MjSpec) -> None:
    """Set up a scene for small pictures: antialiasing is done here, curves need few faces."""
    visual = spec.visual
    visual.quality.offsamples = 0
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = 10, 5, 2
    visual.global_.offwidth = visual.global_.offheight = MAX_RENDER_PIXELS


class View:
    """Draws a scene in any size; renderers are made when first needed.

    Args:
        model: the scene, set up by `prepare`.
        skybox: whether the sky is drawn, which takes longer than all the rest.
    """

    def __init__(self, model: mujoco.MjModel, *, skybox: bool = True) -> None:
        self._model, self._skybox = model, skybox
        self._renderers: dict[int, mujoco.Renderer] = {}

    def image(self, data: mujoco.MjData, camera: mujoco.MjvCamera | str, size: int) -> Image:
        """What a camera sees, `(3, size, size)` uint8 RGB.

        Raises:
            ValueError: if `size` is not between 1 and 512 pixels.
            OSError: if MuJoCo cannot draw.
        """
        limit = MAX_RENDER_PIXELS // SUPERSAMPLING
        if not 1 <= size <= limit:
            raise ValueError(f'size must be between 1 and {limit} pixels, got {size}')
        if size not in self._renderers:
            self._renderers[size] = self._make(size * SUPERSAMPLING)
        renderer = self._renderers[size]
        renderer.update_scene(data, camera)
        fine = renderer.render().reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3)
        coarse = fine.sum(axis=(1, 3), dtype=np.uint16) // SUPERSAMPLING**2
        return np.ascontiguousarray(coarse.astype(np.uint8).transpose(2, 0, 1))

    def close(self) -> None:
        """Free the renderers; also happens by itself at exit."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _make(self, pixels: int) -> mujoco.Renderer:
        try:
            renderer = mujoco.Renderer(self._model, pixels, pixels)
        except Exception as error:  # of EGL, of OpenGL, of a driver: whatever it is, a user sees
            why = ' '.join(str(error).split())
            raise OSError(
                f'MuJoCo cannot draw: {why} (set are: {drawing_variables()}); genrl doctor tells '
                'more'
            ) from error
        _alive.add(renderer)
        _close_at_exit()
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = self._skybox
        return renderer


_alive: weakref.WeakSet[mujoco.Renderer] = weakref.WeakSet()


@functools.cache
def _close_at_exit() -> None:
    """Have renderers closed before MuJoCo ends EGL, which it plans with the first renderer."""
    atexit.register(lambda: [renderer.close() for renderer in _alive])
