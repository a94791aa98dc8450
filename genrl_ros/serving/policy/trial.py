"""Tries a policy bundle in a process of its own, before the one that drives a robot runs it.

    python -P -m genrl_ros.serving.policy.trial FOLDER SHA256 SECONDS

ends with status 0 if the bundle's graphs can be run, and answer; else it prints why not and ends
with status 3.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path

from genrl_ros.serving.policy.bundle import BundleError, PolicyBundle, load_bundle
from genrl_ros.system.processes import die_with_parent, yield_to_others

MEMORY_BYTES = 4 * 1024**3
"""Address space of the process, which has the graphs up to three times."""
NICENESS = 5
REFUSED = 3
"""Exit status: the bundle cannot be used, for the reason that was printed."""


class Trial:
    """Tries bundles, one after the other, each for a limited time."""

    def __init__(self, timeout_s: float) -> None:
        """Say within how many seconds a bundle has to be loaded and to answer."""
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._ended = False

    def prove(self, bundle: PolicyBundle) -> None:
        """Return once a bundle has proven that it can be run. May be called in a thread.

        Raises:
            BundleError: if it cannot, or takes too long.
        """
        with self._lock:
            if self._ended:
                raise BundleError(f'{bundle.path} was not tried: nobody needs it any more')
            process = self._process = subprocess.Popen(
                [
                    *(sys.executable, '-P', '-m', 'genrl_ros.serving.policy.trial'),
                    *(str(bundle.path), bundle.sha256, str(self._timeout_s)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a terminal's Ctrl-C is not for it
            )
        try:
            said, _ = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise BundleError(
                f'{bundle.path} cannot be used: it was not loaded and run once within '
                f'{self._timeout_s:g} s'
            ) from None
        if process.returncode == 0:
            return
        if process.returncode == REFUSED:
            raise BundleError(said.strip())
        last = (said.strip().splitlines() or ['it said nothing'])[-1]
        raise BundleError(
            f'{bundle.path} cannot be used: the process that tried it ended with status '
            f'{process.returncode}: {last}'
        )

    def end(self) -> None:
        """End the trial that goes on, if any; there is none after it."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()


def try_bundle(folder: Path, sha256: str) -> None:
    """Load a bundle, and let it see and act once.

    Raises:
        BundleError: if that fails, or if the bundle there is not the one of this hash.
    """
    import numpy as np

    from genrl_ros.serving.policy.runner import PolicyError, PolicyRunner

    bundle = load_bundle(folder)
    if bundle.sha256 != sha256:
        raise BundleError(f'{folder} has changed while it was loaded')
    about = bundle.description
    runner = PolicyRunner(bundle)
    image = np.zeros((3, about.image_size, about.image_size), np.uint8)
    try:
        runner.act(runner.encode(image), np.zeros(about.action_dim, np.float32))
    except PolicyError as error:
        raise BundleError(f'{folder}: {error}') from None


def main() -> int:
    """Try the bundle that the command line names, and end with this process's parent."""
    die_with_parent()
    folder, sha256, seconds = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(float(seconds)) + 1,) * 2)
    yield_to_others(NICENESS)
    try:
        try_bundle(Path(folder), sha256)
    except BundleError as error:
        sys.stdout.write(f'{error}\n')
        return REFUSED
    return 0


if __name__ == '__main__':
    sys.exit(main())
