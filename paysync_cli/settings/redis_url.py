"""REDIS_URL: which forms there are, and one canonical text for each.

redis://[[user]:password@]host[:port][/db]                       also rediss:// (TLS)
unix://[[user]:password@]/path/to/socket[?db=N]
redis+sentinel://[[user]:password@]host[:port],host[:port].../service[/db]    also rediss+sentinel://, sentinel://
"""

from __future__ import annotations

from paysync_cli.language import _
from paysync_cli.settings.urls import Parts, encoded, refuse_unknown_parameters, split_url

REDIS_PORT, SENTINEL_PORT = 6379, 26379

# What redis-py's connections take from a URL; anything else would end in a TypeError at the first command.
_PARAMETERS = frozenset(
    "client_name db encoding encoding_errors health_check_interval max_connections password protocol retry_on_timeout"
    " socket_connect_timeout socket_keepalive socket_timeout ssl_ca_certs ssl_ca_data ssl_ca_path ssl_cert_reqs"
    " ssl_certfile ssl_check_hostname ssl_keyfile timeout username".split()
)
_SENTINEL_PARAMETERS = _PARAMETERS | {"service_name", "sentinel_username", "sentinel_password"}
_CERT_REQS = {"none": "none", "optional": "optional", "required": "required"}
_CERT_REQS |= {"cert_none": "none", "cert_optional": "optional", "cert_required": "required"}


def read_redis_url(text: str) -> str:
    """The URL in its canonical form, or ValueError with a sentence that shows no password. Nothing is dialled."""
    url = _one_list(text.strip())
    scheme = url.partition("://")[0].lower()
    if scheme == "unix":
        return _unix(url)
    if scheme not in ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "sentinel"):
        raise ValueError(_unknown_scheme(url))
    parts = split_url(url)
    if "sentinel" in scheme:
        return _sentinel(parts)
    return _single(parts)


def _single(parts: Parts) -> str:
    if len(parts.hosts) > 1:
        raise ValueError(_("it names several hosts; for Sentinel write redis+sentinel://host1,host2/service."))
    refuse_unknown_parameters(parts, _PARAMETERS, {})
    host, port = parts.hosts[0]
    if not host and (port is not None or parts.userinfo is not None):
        raise ValueError(_("it names no host."))
    db = _db(parts.path, _db_parameter(parts))
    place = f"{host or 'localhost'}:{port or REDIS_PORT}"
    return f"{parts.scheme}://{_credentials(parts)}{place}/{db}{_query(parts)}"


def _sentinel(parts: Parts) -> str:
    refuse_unknown_parameters(parts, _SENTINEL_PARAMETERS, {})
    service, db = _service_and_db(parts)
    if any(not host for host, _port in parts.hosts):
        raise ValueError(_("one of its Sentinel hosts is empty."))
    places = ",".join(f"{host}:{port or SENTINEL_PORT}" for host, port in parts.hosts)
    scheme = "rediss+sentinel" if parts.scheme == "rediss+sentinel" else "redis+sentinel"
    return f"{scheme}://{_credentials(parts)}{places}/{service}/{db}{_query(parts, without=('db', 'service_name'))}"


def _service_and_db(parts: Parts) -> tuple[str, int]:
    """Service and database from `/service`, `/service/0`, `/0/service` or the parameters."""
    pieces = [piece for piece in parts.path.split("/") if piece]
    names = [piece for piece in pieces if not piece.isdecimal()]
    numbers = [piece for piece in pieces if piece.isdecimal()]
    names += [value for name, value in parts.parameters if name == "service_name"]
    if len(names) != 1 or len(numbers) > 1:
        raise ValueError(_("it must name one Sentinel service: redis+sentinel://host1,host2/service/0."))
    return names[0], _db(numbers[0] if numbers else "", _db_parameter(parts))


def _unix(url: str) -> str:
    parts = split_url(url)
    refuse_unknown_parameters(parts, _PARAMETERS, {})
    if parts.hosts != (("", None),) or not parts.path:
        raise ValueError(_("a socket is written with three slashes: unix:///run/redis/redis.sock."))
    _db("", _db_parameter(parts))
    return f"unix://{_credentials(parts)}/{parts.path}{_query(parts, without=())}"


def _credentials(parts: Parts) -> str:
    if (
        parts.userinfo is None or parts.userinfo == ":"
    ):  # `redis://:@host` is what a template makes of an empty password
        return ""
    _user, colon, password = parts.userinfo.partition(":")
    if not colon:
        raise ValueError(_("the part before @ has no colon: write :PASSWORD@ (or USER:PASSWORD@)."))
    if not password:
        raise ValueError(_("its password is empty."))
    return f"{encoded(parts.userinfo)}@"


def _db_parameter(parts: Parts) -> str:
    return next((value for name, value in parts.parameters if name == "db"), "")


def _db(path: str, parameter: str) -> int:
    """The database number; redis-py lets the parameter win, and so do we."""
    wanted = parameter or path.rstrip("/")
    if not wanted:
        return 0
    if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 7):
        raise ValueError(_("its database is not a number: write redis://host:6379/0."))
    return int(wanted)


def _query(parts: Parts, without: tuple[str, ...] = ("db",)) -> str:
    kept = [(name, _certificate_word(value) if name == "ssl_cert_reqs" else value) for name, value in parts.parameters]
    pairs = "&".join(f"{name}={value}" for name, value in kept if name not in without)
    return f"?{pairs}" if pairs else ""


def _certificate_word(value: str) -> str:
    """redis-py's word, also for the spelling that Celery and Heroku use (CERT_NONE)."""
    try:
        return _CERT_REQS[value.lower()]
    except KeyError:
        raise ValueError(_("ssl_cert_reqs must be none, optional or required.")) from None


def _one_list(url: str) -> str:
    """Celery writes `sentinel://h1:26379;sentinel://h2:26379/...`: the same as one list of hosts."""
    return url.replace(";sentinel://", ",") if url.startswith("sentinel://") else url


def _unknown_scheme(url: str) -> str:
    forms = _("Write redis://, rediss://, unix:// or redis+sentinel://.")
    scheme, found, _rest = url.partition("://")
    if url[:1] in "\"'":
        return _("it starts with a quote: remove the quotes around it.")
    if not found:
        return _("it has no scheme.") + " " + forms
    hints = {
        "http": _("http:// is not how Redis is spoken to."),
        "https": _("https:// is a REST interface; use the redis:// or rediss:// address of the same database."),
        "redis+socket": _("redis+socket:// is Celery's word for unix://."),
        "valkey": _("valkey:// is written redis://."),
        "valkeys": _("valkeys:// is written rediss://."),
        "tcp": _("tcp:// is written redis://."),
        "redis+cluster": _("Redis Cluster cannot carry the queues; use one server or Sentinel."),
    }
    known = hints.get(scheme.lower())
    return f"{known} {forms}" if known else _("its scheme is unknown.") + " " + forms
