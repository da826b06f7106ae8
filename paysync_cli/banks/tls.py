"""The TLS side of a bank's line: our client certificate, whom we trust, and whether we look at all."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paysync_cli.errors import SettingsError
from paysync_cli.language import _


@dataclass(frozen=True)
class Tls:
    """What the settings say of it. `client_key` may be None when the certificate's file holds the key too."""

    client_cert: Path | None = None
    client_key: Path | None = None
    ca_bundle: Path | None = None
    verify: bool = True


def make_context(tls: Tls) -> ssl.SSLContext:
    """The context for a client. Raises SettingsError for files that are missing, open to others or do not fit."""
    import httpx

    for problem in file_problems(tls):
        raise SettingsError(problem)
    if tls.ca_bundle is not None:
        context = ssl.create_default_context(cafile=str(tls.ca_bundle))
    else:
        context = httpx.create_ssl_context(verify=tls.verify)
    if not tls.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls.client_cert is not None:
        # The password makes OpenSSL say that the key is locked, instead of asking a terminal that may not be there.
        context.load_cert_chain(tls.client_cert, tls.client_key, password="")
    return context


def file_problems(tls: Tls) -> Iterator[str]:
    """What is wrong with the files, each a sentence that names the key and the path."""
    found = False
    for problem in _path_problems(tls):
        found = True
        yield problem
    if not found:
        yield from _content_problems(tls)


def _path_problems(tls: Tls) -> Iterator[str]:
    if tls.client_key is not None and tls.client_cert is None:
        yield _("client_key is there, client_cert is missing")
    for key, path in (("client_cert", tls.client_cert), ("client_key", tls.client_key), ("ca_bundle", tls.ca_bundle)):
        if path is not None and not os.access(path, os.R_OK):
            yield _("{key}: {path} cannot be read").format(key=key, path=path)
    secret = tls.client_key or tls.client_cert
    if secret is not None and secret.exists() and _open_to_others(secret):
        yield _("{path} holds a private key and is open to other users: chmod 600 {path}").format(path=secret)


def _open_to_others(path: Path) -> bool:
    """Whether others may read or change it. A group may read it where root alone can write: so keys are handed out."""
    found = path.stat()
    shared_by_root = found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IRWXO)
    return bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)) and not shared_by_root


def _content_problems(tls: Tls) -> Iterator[str]:
    if tls.client_cert is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tls.client_cert, tls.client_key, password="")
        except (ssl.SSLError, OSError, ValueError):
            yield _(
                "client_cert and client_key do not make a pair that can be used: "
                "both must be PEM, belong together, and the key must have no password"
            )
    if tls.ca_bundle is not None:
        try:
            ssl.create_default_context(cafile=str(tls.ca_bundle))
        except (ssl.SSLError, OSError):
            yield _("ca_bundle: {path} holds no certificate in PEM").format(path=tls.ca_bundle)
