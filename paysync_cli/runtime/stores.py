"""The database and Redis of one process, opened when first asked for."""

from __future__ import annotations

import getpass
import os
import socket
from functools import cached_property
from typing import TYPE_CHECKING

from paysync_cli.errors import NotFound, RedisUnavailable, SettingsError
from paysync_cli.language import _
from paysync_cli.settings import Settings, mask_url

if TYPE_CHECKING:
    from paysync_cli.queue.client import QueueClient
    from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint
    from paysync_cli.queue.link import Link
    from paysync_cli.store.clock import Clock
    from paysync_cli.store.database import Database


class Stores:
    """Database and Redis. `create` lets a missing database be made."""

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.settings = settings
        self._create = create
        self._endpoint: Endpoint | None = None
        self._queues: list[QueueClient] = []

    # -- the database -------------------------------------------------------------------------------------------

    @cached_property
    def database(self) -> Database:
        """The database as it is, whatever its schema. Raises NotFound when there is none and none may be made."""
        from paysync_cli.store.database import Database

        try:
            return Database(self.settings.database_url, create=self._create)
        except NotFound as error:
            raise self._missing(error) from None

    @property
    def has_database(self) -> bool:
        """Whether there is one already; so that what is wrong with a command is told before one is made for it."""
        from paysync_cli.store.database import is_missing

        return not is_missing(self.settings.database_url)

    def _missing(self, error: NotFound) -> NotFound:
        """Where one looked, as whom and because of what."""
        return NotFound(
            _("{what} (user {user}, settings from {files}).").format(
                what=error.message, user=_user(), files=self._settings_files()
            ),
            hint=_(
                "`paysync enqueue`, `import`, `worker` and `demo` make one; PAYSYNC_HOME or DATABASE_URL say where."
            ),
            code=error.code,
        )

    @cached_property
    def store(self) -> Database:
        """The database, ready to use: its schema is this version's. Raises NotFound, SettingsError."""
        database = self.database  # says by itself that there is none
        try:
            return database.ready(upgrade=not self.settings.read_only)
        except NotFound as error:
            raise self._missing(error) from None

    @cached_property
    def clock(self) -> Clock:
        from paysync_cli.store import clock

        return clock.read(self.store)

    @cached_property
    def database_id(self) -> str:
        """The UUID that says whose jobs a Redis carries."""
        from paysync_cli.store.history import read_meta

        with self.store.read() as tx:
            found = read_meta(tx, "database_id")
        if found is None:
            raise SettingsError(_("The database has no identity."), hint=_("Run: paysync db upgrade"))
        return found

    # -- Redis --------------------------------------------------------------------------------------------------

    @cached_property
    def embedded(self) -> EmbeddedRedis | None:
        """The embedded server of this home; None when REDIS_URL names another Redis."""
        if self.settings.redis_url is not None:
            return None
        from paysync_cli.queue.embedded import EmbeddedRedis

        server = self.settings.redis_server
        return EmbeddedRedis(self.settings.redis_folder, server=str(server) if server else None)

    @cached_property
    def link(self) -> Link:
        """How to reach Redis; starts the embedded server when it is ours and does not run."""
        from paysync_cli.queue.link import Link

        if self.settings.redis_url is not None:
            return Link(self.settings.redis_url, mask_url(self.settings.redis_url))
        self._revive()
        return self._embedded_link()

    @cached_property
    def queue(self) -> QueueClient:
        """The queues; the embedded server is started when needed."""
        return self._client(self.link)

    def queue_if_running(self) -> QueueClient | None:
        """The queues, or None when the embedded server simply does not run. Raises RedisUnavailable."""
        if self.embedded is None or "link" in self.__dict__:
            self.queue.ping()
            return self.queue
        self._endpoint = self.embedded.attach_if_running()
        return None if self._endpoint is None else self._client(self._embedded_link())

    def queue_again(self, before: QueueClient | None) -> QueueClient | None:
        """The queues, for whoever looks again and again: `before` while it answers, else as they are now.

        An embedded server that was started anew is found again, never started. Raises RedisUnavailable.
        """
        if self.embedded is None:
            queue = before or self.queue
            queue.ping()
            return queue
        if before is not None:
            try:
                before.ping()
                return before
            except RedisUnavailable:
                self._drop(before)
        self._endpoint = self.embedded.attach_if_running()
        return None if self._endpoint is None else self._client(self._embedded_link())

    def _drop(self, queue: QueueClient) -> None:
        """Forget a client whose server went; the next one has a new password, and may listen elsewhere."""
        queue.close()
        if queue in self._queues:
            self._queues.remove(queue)
        if self.__dict__.get("queue") is queue:
            del self.__dict__["queue"], self.__dict__["link"]

    def _client(self, link: Link) -> QueueClient:
        from paysync_cli.queue.client import QueueClient

        self._queues.append(QueueClient(link, home=self.settings.home))
        return self._queues[-1]

    def _embedded_link(self) -> Link:
        from paysync_cli.queue.link import Link

        endpoint = self._endpoint
        assert endpoint is not None
        if endpoint.socket is None:
            url = f"redis://{endpoint.host}:{endpoint.port}/0"
        else:
            from urllib.parse import quote

            url = f"unix://{quote(endpoint.socket)}?db=0"
        return Link(url, endpoint.url(), password=self._password, revive=self._revive)

    def _revive(self) -> None:
        assert self.embedded is not None
        self._endpoint = self.embedded.attach()

    def _password(self) -> str:
        return self._endpoint.password if self._endpoint is not None else ""

    # -- for people ---------------------------------------------------------------------------------------------

    def where(self) -> dict[str, object]:
        """Which database, Redis and settings files this is about, there or not: no OK over an empty world."""
        from paysync_cli.store.database import where_is

        if self.settings.redis_url is not None:
            redis = mask_url(self.settings.redis_url)
        else:
            redis = _("embedded in {folder}").format(folder=self.settings.redis_folder)
        return {
            "database": where_is(self.settings.database_url),
            "redis": redis,
            "settings_files": [str(path) for path in self.settings.files],
        }

    @property
    def who(self) -> str:
        """Who acts, for the audit table."""
        return f"{_user()}@{socket.gethostname()}"

    def refuse_foreign_redis(self) -> None:
        """Raise RefusedError when Redis carries the jobs of another database."""
        self.queue.claim_database(self.database_id)

    def _settings_files(self) -> str:
        return ", ".join(str(path) for path in self.settings.files) or _("the environment and defaults")

    def close(self) -> None:
        for queue in self._queues:
            queue.close()
        if "database" in self.__dict__:
            self.database.close()
        embedded = self.__dict__.get("embedded")
        if embedded is not None:
            embedded.leave()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid, as in some containers
        return str(os.getuid())
