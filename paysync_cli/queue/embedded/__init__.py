"""A Redis of one's own: a server that starts with the first paysync process and stops with the last one.

Commands know `EmbeddedRedis` and nothing of the rooms behind it:

    server.py     attach, leave, status, start, stop
    startup.py    from no answer to an answering server
    launch.py     one start of the binary, prepared and judged
    binary.py     which server binary
    address.py    where it listens
    conf.py       its configuration file
    endpoint.py   how clients reach it
    backups.py    copies made before another server writes the files
    folder.py     the private folder and the names in it
    locks.py      file locks that live as long as they should, across forks too
    pids.py       who a pid is
    wire.py       the few words of the Redis protocol that are needed here
    patience.py   waiting with an end
"""

from paysync_cli.queue.embedded.endpoint import Endpoint
from paysync_cli.queue.embedded.server import EmbeddedRedis, EmbeddedStatus

__all__ = ["EmbeddedRedis", "EmbeddedStatus", "Endpoint"]
