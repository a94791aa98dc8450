"""Stands in for the process that learns: quick, without torch, and as bad as it is told to be.

Usage: fake_worker.py BUNDLE SECONDS [crash]. It "learns" for so long and answers with a copy of
the bundle.
"""

import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())


def answer(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + '\n')
    sys.stdout.flush()


bundle, seconds = Path(sys.argv[1]), float(sys.argv[2])
request = json.loads(sys.stdin.readline())
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
of = request['config']['updates']
begun = time.monotonic()
done = 0
while done < of and not stop.wait(seconds / 20):
    done = min(of, int(of * (time.monotonic() - begun) / seconds) if seconds else of)
    progress = {
        'stage': 'learning',
        'update': done,
        'of': of,
        'imagined_reward': done / of,
        'updates_per_s': 5.0,
        'remaining_s': 1.0,
    }
    answer(progress=progress)
    if 'crash' in sys.argv:
        sys.stderr.write('the sky falls\n')
        sys.exit(3)
path = Path(request['policies']) / request['task_id']
shutil.copytree(bundle, path)
manifest = json.loads((path / 'policy.json').read_text())
(path / 'policy.json').write_text(json.dumps(manifest | {'task_id': request['task_id']}))
result = {'path': str(path), 'updates': done, 'imagined_reward': done / max(of, 1)}
answer(result=result)
