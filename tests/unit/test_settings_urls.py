"""Every form of REDIS_URL and DATABASE_URL, what is explained, and masks that never fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis import ConnectionPool
from sqlalchemy import make_url

from paysync_cli.settings.database_url import read_database_url, sqlite_url
from paysync_cli.settings.masking import mask_url, passwords_in, redact
from paysync_cli.settings.redis_url import read_redis_url


def read_database(text: str) -> str:
    return read_database_url(text, Path("/here"))


def _refusal(reader: Callable[[str], str], text: str) -> str | None:
    """The reader's sentence, None when it accepts."""
    try:
        reader(text)
    except ValueError as refused:
        return str(refused)
    return None


# -- Redis: what is accepted, and its canonical form

REDIS_FORMS = [
    ("redis://", "redis://localhost:6379/0"),
    ("redis:///2", "redis://localhost:6379/2"),
    ("redis://host", "redis://host:6379/0"),
    ("redis://host:6380", "redis://host:6380/0"),
    ("redis://host:6380/3", "redis://host:6380/3"),
    ("redis://host/3/", "redis://host:6379/3"),
    ("redis://host?db=4", "redis://host:6379/4"),
    ("redis://:secret@host", "redis://:secret@host:6379/0"),
    ("redis://user:secret@host:6380/1", "redis://user:secret@host:6380/1"),
    ("redis://:@host", "redis://host:6379/0"),
    ("redis://:p%40ss%23w%2Frd%3F@host", "redis://:p%40ss%23w%2Frd%3F@host:6379/0"),
    ("redis://:pa:ss@host", "redis://:pa:ss@host:6379/0"),
    ("redis://:a[b]^c|ñ@host", "redis://:a%5Bb%5D%5Ec%7C%C3%B1@host:6379/0"),
    ("redis://[::1]:6380/1", "redis://[::1]:6380/1"),
    ("REDIS://host", "redis://host:6379/0"),
    ("  redis://host \n", "redis://host:6379/0"),
    ("rediss://:s@host:6380", "rediss://:s@host:6380/0"),
    (
        "rediss://default:s@db-1.cloud.example:25061/0?ssl_cert_reqs=CERT_NONE",
        "rediss://default:s@db-1.cloud.example:25061/0?ssl_cert_reqs=none",
    ),
    ("redis://host?socket_timeout=5&db=1", "redis://host:6379/1?socket_timeout=5"),
    ("unix:///run/redis/redis.sock", "unix:///run/redis/redis.sock"),
    ("unix://:secret@/run/redis.sock?db=2", "unix://:secret@/run/redis.sock?db=2"),
    ("redis+sentinel://h1/mymaster", "redis+sentinel://h1:26379/mymaster/0"),
    ("redis+sentinel://:s@h1:26380,h2/mymaster/2", "redis+sentinel://:s@h1:26380,h2:26379/mymaster/2"),
    ("sentinel://h1:26379,h2:26379/0/mymaster", "redis+sentinel://h1:26379,h2:26379/mymaster/0"),
    ("sentinel://h1:26379;sentinel://h2:26380/mymaster", "redis+sentinel://h1:26379,h2:26380/mymaster/0"),
    ("rediss+sentinel://h1/mymaster", "rediss+sentinel://h1:26379/mymaster/0"),
    ("redis+sentinel://h1?service_name=m&sentinel_password=x", "redis+sentinel://h1:26379/m/0?sentinel_password=x"),
]


@pytest.mark.parametrize(("url", "canonical"), REDIS_FORMS)
def test_every_redis_form(url: str, canonical: str) -> None:
    assert read_redis_url(url) == canonical
    assert read_redis_url(canonical) == canonical


@pytest.mark.parametrize("canonical", [c for _url, c in REDIS_FORMS if "sentinel" not in c])
def test_redis_py_reads_the_canonical_form(canonical: str) -> None:
    pool = ConnectionPool.from_url(canonical)
    kwargs = pool.connection_kwargs
    if canonical.startswith("unix://"):
        assert kwargs["path"].startswith("/run/")
    else:
        assert kwargs["host"]
        assert kwargs["db"] == int(canonical.partition("?")[0].rpartition("/")[2])


@given(st.text(min_size=1, max_size=30).filter(lambda t: t.isprintable() or True))
@example("p@ss/w?rd#1 %41[]")
def test_an_encoded_password_arrives_whole(password: str) -> None:
    try:
        encoded = quote(password, safe="")
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return
    canonical = read_redis_url(f"redis://user:{encoded}@host:6380/1")
    kwargs = ConnectionPool.from_url(canonical).connection_kwargs
    assert (kwargs["host"], kwargs["port"], kwargs["db"]) == ("host", 6380, 1)
    assert (kwargs["username"], kwargs["password"]) == ("user", password)
    database = make_url(read_database_url(f"postgres://user:{encoded}@host/db", None))
    assert (database.host, database.username, database.password) == ("host", "user", password)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:pa@ss@host", "%40 for @"),
        ("redis://:pa#ss@host", "%23 for #"),
        ("redis://:pa/ss@host", "%2F for /"),
        ("redis://:pa?ss@host", "%3F for ?"),
        ("redis://user:12/34@host", "%2F for /"),
        ("redis://user:12?34@host:6379/0", "%3F for ?"),
        ("redis://user:12?a=34@host:6379/0", "%3F for ?"),
        ("redis://user:12#34@host", "%23 for #"),
        ("redis://host#fragment", "%23 for #"),
        ("rediss://:pa@ss@host", "%40 for @"),
        ("redis+sentinel://:pa@ss@h1,h2/m", "%40 for @"),
        ("redis://:50%off@host", "%25"),
        ("redis://:pa ss@host", "space"),
        ("redis://:pa\nss@host", "line end"),
        ("redis://host:port", "port"),
        ("redis://host:0", "port"),
        ("redis://host:65536", "port"),
        ("redis://host:６３７９", "port"),
        ("redis://host:", "port"),
        ("redis://::1", "IPv6"),
        ("redis://[::1", "IPv6"),
        ("redis://:secret@", "no host"),
        ("redis://:6379", "no host"),
        ("redis://host/zero", "database"),
        ("redis://host/0/1", "database"),
        ("redis://host/-1", "database"),
        ("redis://host?db=x", "database"),
        ("redis://user@host", "colon"),
        ("redis://user:@host", "empty"),
        ("redis://h1,h2", "Sentinel"),
        ("redis://host?socket_timeuot=5", "did you mean socket_timeout?"),
        ("redis://host?ssl_cert_reqs=sometimes", "none, optional or required"),
        ("redis+sentinel://h1,h2", "service"),
        ("redis+sentinel://h1,h2/0", "service"),
        ("redis+sentinel://h1,h2/a/b", "service"),
        ("redis+sentinel://h1,,h2/a", "empty"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "three slashes"),
        ("http://host", "http://"),
        ("https://host", "rediss://"),
        ("redis+socket:///run/redis.sock", "unix://"),
        ("valkey://host", "redis://"),
        ("memcached://host", "scheme is unknown"),
        ("localhost:6379", "no scheme"),
        ("host", "no scheme"),
        ('"redis://host"', "quote"),
    ],
)
def test_a_redis_url_that_is_wrong_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_redis_url(url)
    assert words in str(caught.value)


@given(st.text(max_size=60))
@example("redis://[")
@example("redis://]")
def test_any_text_is_a_redis_url_or_explained(text: str) -> None:
    for url in (text, f"redis://{text}", f"unix://{text}", f"redis+sentinel://{text}"):
        assert _refusal(read_redis_url, url) != ""


# -- the database


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("sqlite:////var/lib/paysync.db", "sqlite:////var/lib/paysync.db"),
        ("sqlite:///books.db", "sqlite:////here/books.db"),
        ("sqlite:///./data/books.db", "sqlite:////here/data/books.db"),
        ("sqlite+pysqlite:////a.db", "sqlite:////a.db"),
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h:5433/d", "postgresql+psycopg://u:p@h:5433/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql:///d", "postgresql+psycopg:///d"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql+psycopg://u@/d?host=/run/postgresql"),
        (
            "postgres://h/d?sslmode=require&connect_timeout=3",
            "postgresql+psycopg://h/d?sslmode=require&connect_timeout=3",
        ),
        ("postgres://u:p@h1,h2:5433/d", "postgresql+psycopg://u:p@/d?host=h1:5432&host=h2:5433"),
        ("postgres://h/d?options=-csearch_path%3Dshop", "postgresql+psycopg://h/d?options=-csearch_path%3Dshop"),
        ("POSTGRES://h/d", "postgresql+psycopg://h/d"),
    ],
)
def test_every_database_form(url: str, canonical: str) -> None:
    assert read_database_url(url, Path("/here")) == canonical
    assert read_database_url(canonical.replace("/d?host=h1:5432&host", "/d?host=h1:5432&host"), None) == canonical
    parsed = make_url(canonical)
    assert parsed.drivername in ("sqlite", "postgresql+psycopg")


def test_sqlalchemy_reads_several_hosts() -> None:
    parsed = make_url(read_database_url("postgres://u:p@h1,h2:5433/d", None))
    _args, kwargs = parsed.get_dialect()().create_connect_args(parsed)
    assert (kwargs["host"], kwargs["port"]) == ("h1,h2", "5432,5433")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:p@h/d?schema=public", "Prisma"),
        ("postgresql://u:p@h/d?sslmode=require&schema=public", "Prisma"),
        ("postgresql://u:p@h/d?pgbouncer=true", "Prisma"),
        ("postgresql://u:p@h/d?connection_limit=5", "connection_limit"),
        ("postgresql://u:p@h/d?ssl=true", "sslmode=require"),
        ("postgresql://u:p@h/d?sslmod=require", "did you mean sslmode?"),
        ("postgresql://u:p@h/d?zzz=1", "unknown parameter 'zzz'"),
        ("postgresql://u:pa@ss@h/d", "%40 for @"),
        ("postgresql://u:pa#ss@h/d", "%23 for #"),
        ("postgresql://u:pa/ss@h/d", "%2F for /"),
        ("postgresql://u:pa?ss@h/d", "%3F for ?"),
        ("postgresql://u:p@h", "no database"),
        ("postgresql://u:p@h/", "no database"),
        ("postgresql://u:p@h/a/b", "slash"),
        ("postgresql://u:p@h:x/d", "port"),
        ("postgresql+odbc://h/d", "driver"),
        ("mysql://u:p@h/d", "SQLite or PostgreSQL only"),
        ("oracle+cx://u:p@h/d", "SQLite or PostgreSQL only"),
        ("file:./dev.db", "Prisma"),
        ("/var/lib/paysync.db", "no scheme"),
        ("ftp://h/d", "scheme is unknown"),
        ("'postgresql://h/d'", "quote"),
        ("sqlite://", "three slashes"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite://books.db", "three slashes"),
        ("sqlite:////a.db?mode=ro", "no parameters"),
        ("sqlite:///books.db", "no folder"),
    ],
)
def test_a_database_url_that_is_wrong_is_explained(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_database_url(url, None)
    assert words in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_database_url_or_explained(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"sqlite://{text}"):
        assert _refusal(read_database, url) != ""


def test_the_default_file_survives_its_own_reader() -> None:
    assert read_database_url(sqlite_url(Path("/srv/pay sync/paysync.db")), None) == "sqlite:////srv/pay sync/paysync.db"


# -- masks


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("redis://user:secret@host", "redis://user:***@host"),
        ("redis://secret@host", "redis://***@host"),
        ("redis://:se@cr@host", "redis://:***@host"),
        ("redis://:se/cr#e?t@host/1", "redis://:***@host/1"),
        ("redis://:secret", "redis://***"),
        ("redis://:12345", "redis://:***"),
        ("redis://user:123456", "redis://***"),
        ("redis://host?password=secret&db=1", "redis://host?password=***&db=1"),
        ("redis://host?secret", "redis://host?***"),
        ("redis://host/0#secret", "redis://host/0#***"),
        ("postgresql+psycopg://u:secret@h/d?sslmode=require", "postgresql+psycopg://u:***@h/d?sslmode=require"),
        ("postgresql:///d?user=u&password=secret", "postgresql:///d?user=***&password=***"),
        ("sqlite:////srv/u@x/paysync.db", "sqlite:////srv/u@x/paysync.db"),
        ("redis+sentinel://:s@h1:26379,h2:26379/m/0", "redis+sentinel://:***@h1:26379,h2:26379/m/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("localhost:6379/0", "localhost:6379/0"),
        ("user:secret@host", "user:***@host"),
        ("host=h password=secret", "***"),
        ("secret", "***"),
        ("", "***"),
    ],
)
def test_masks(url: str, shown: str) -> None:
    assert mask_url(url) == shown


SECRET = "zQ7canary"


@given(
    st.sampled_from(["redis://", "rediss://", "postgres://", "redis+sentinel://", "https://", "unix://", ""]),
    st.sampled_from(["", "user", "u%40"]),
    st.text(alphabet="@#/?:%[]&= .x", max_size=8),
    st.text(alphabet="@#/?:%[]&= .x", max_size=8),
    st.sampled_from(["host", "host:6379/0", "h1,h2/m", "[::1]:1", "", "host?db=1"]),
)
def test_a_mask_never_shows_the_password(scheme: str, user: str, before: str, after: str, place: str) -> None:
    password = f"{before}{SECRET}{after}"
    url = f"{scheme}{user}:{password}@{place}"
    assert SECRET not in mask_url(url)
    for reader in (read_redis_url, read_database):
        assert SECRET not in (_refusal(reader, url) or "")
    assert any(SECRET in piece for piece in passwords_in(url)) or not scheme


@given(st.text(max_size=80))
def test_a_mask_never_fails(text: str) -> None:
    assert isinstance(mask_url(text), str)
    assert isinstance(passwords_in(text), frozenset)


def test_redaction_takes_out_secrets_and_credentials() -> None:
    text = "dial redis://u:p@h and https://tok@x/y with hunter22 in redis://u:***@h"
    cleaned = redact(text, {"hunter22", "hunter2"})
    assert cleaned == "dial redis://***@h and https://***@x/y with *** in redis://u:***@h"
