"""`python -m docs.generate`: write everything that is generated and tell what changed.

With --check nothing is written: what would change is told, and the exit status is 1 when there is anything.
"""

import sys

from paysync_cli import language

language.use(language.SOURCE)  # before any file with a text is loaded

from docs.generate.outputs import ROOT, outputs, stale, write  # noqa: E402

CHECK = "--check" in sys.argv[1:]
wanted = outputs()
changed = stale(wanted)
if not CHECK:
    write(wanted, changed)
for path in changed:
    print(path.relative_to(ROOT))
sys.exit(CHECK and bool(changed))
