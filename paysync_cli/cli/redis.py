"""`paysync redis`: the embedded Redis, looked at, kept on, switched off; and the URL for other tools."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from paysync_cli.cli.command import command, group
from paysync_cli.cli.options import Yes
from paysync_cli.cli.session import Session
from paysync_cli.errors import NotFound, RefusedError, UsageError
from paysync_cli.language import _
from paysync_cli.views.redis import RedisUrlView, RedisView

if TYPE_CHECKING:
    from paysync_cli.queue.embedded import EmbeddedRedis, Endpoint

group("redis", help=_("The embedded Redis: look at it, keep it on, stop it."), default="status")


@command(
    "redis status",
    help=_("Show whether the embedded Redis runs, where, and which server it is. Starts nothing."),
    examples=("paysync redis status", ("paysync redis status --json", _("for a script"))),
)
def status(session: Session) -> None:
    session.show(RedisView(_embedded(session).status(), used=_is_used(session)))


@command(
    "redis start",
    help=_("Start the embedded Redis and keep it on when the last paysync process leaves."),
    examples=(("paysync redis start", _("before a long session with redis-cli")),),
    changes=True,
)
def start(session: Session) -> None:
    if not _is_used(session):
        raise RefusedError(
            _("REDIS_URL names {url}, so the embedded Redis is not used.").format(url=_other_redis(session, False)),
            hint=_("Remove REDIS_URL to use it."),
        )
    session.show(RedisView(_embedded(session).start(), used=True))
    session.say(_("It stays on until `paysync redis stop`."))


@command(
    "redis stop",
    help=_("Stop the embedded Redis. Refused (exit 5) while other paysync processes use it, unless --yes."),
    examples=("paysync redis stop", ("paysync redis stop --yes", _("although others use it; they start it again"))),
    changes=True,
)
def stop(session: Session, yes: Yes = False) -> None:
    session.show(RedisView(_embedded(session).stop(force=yes), used=_is_used(session)))


@command(
    "redis url",
    help=_("Print the URL of the Redis in use, for `rq info`, rq-dashboard, redis-py; with --redis-cli for redis-cli."),
    examples=(
        ("paysync redis url", _("the password masked")),
        ('rq info -u "$(paysync redis url --reveal)"', _("RQ's own view")),
        ('eval "$(paysync redis url --reveal --redis-cli)"', _("open redis-cli, which knows no unix:// URL")),
    ),
)
def url(
    session: Session,
    reveal: Annotated[bool, typer.Option("--reveal", help=_("Show the password, so that it can connect."))] = False,
    redis_cli: Annotated[bool, typer.Option("--redis-cli", help=_("Print a command line for redis-cli."))] = False,
) -> None:
    if not _is_used(session):
        named = _other_redis(session, reveal)
        command_line = f"redis-cli -u {shlex.quote(named)}" if named.startswith(("redis://", "rediss://")) else None
        if redis_cli and command_line is None:
            raise UsageError(_("redis-cli takes no URL such as {url}.").format(url=_other_redis(session, False)))
        session.show(RedisUrlView(named, command_line, show_command=redis_cli, revealed=reveal, embedded=False))
        return
    redis = _embedded(session)
    endpoint = redis.endpoint()
    if endpoint is None:
        raise NotFound(
            _("The embedded Redis in {folder} does not run.").format(folder=session.settings.redis_folder),
            hint=_("Start it and keep it on: paysync redis start"),
        )
    command_line = _redis_cli(endpoint, reveal)
    session.show(
        RedisUrlView(endpoint.url(reveal), command_line, show_command=redis_cli, revealed=reveal, embedded=True)
    )
    if not redis.status().keep:
        session.say(_("It stops with the last paysync process, and the password changes at each start."))


def _redis_cli(endpoint: Endpoint, reveal: bool) -> str:
    """For a shell. The password goes through the environment: a command line can be read by every user."""
    place = ["-s", endpoint.socket] if endpoint.socket else ["-h", endpoint.host, "-p", str(endpoint.port)]
    password = endpoint.password if reveal else "***"
    return f"REDISCLI_AUTH={shlex.quote(password)} {shlex.join(['redis-cli', *place])}"


def _embedded(session: Session) -> EmbeddedRedis:
    from paysync_cli.queue.embedded import EmbeddedRedis

    server = session.settings.redis_server
    return EmbeddedRedis(session.settings.redis_folder, server=str(server) if server else None)


def _is_used(session: Session) -> bool:
    """False when REDIS_URL names another Redis."""
    return session.settings.redis_url is None


def _other_redis(session: Session, reveal: bool) -> str:
    from paysync_cli.settings import mask_url

    named = session.settings.redis_url
    assert named is not None
    return named if reveal else mask_url(named)
