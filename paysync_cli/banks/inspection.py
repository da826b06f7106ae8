"""A bank's line without asking it anything: does it answer, and how long do the certificates last?"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from paysync_cli.banks.tls import Tls, make_context
from paysync_cli.errors import SettingsError

PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One look. `trouble` is `unreachable`, `certificate` (theirs is not accepted), `refused_tls`; `cause` in words.

    `ends_at` and `ours_end_at` are when the bank's and our own certificate end.
    """

    place: str
    trouble: str | None = None
    cause: str = ""
    ends_at: datetime | None = None
    ours_end_at: datetime | None = None


def inspect(base_url: str, tls: Tls) -> LineFacts:
    """Connect, shake hands, hang up; no login, no request."""
    parts = urlsplit(base_url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    place, ours = f"{host}:{port}", _end_of(tls.client_cert)
    try:
        with socket.create_connection((host, port), PATIENCE_S) as line:
            if not secure:
                return LineFacts(place)
            with make_context(tls).wrap_socket(line, server_hostname=host) as secured:
                theirs = secured.getpeercert(binary_form=True)
        return LineFacts(place, ends_at=_end(theirs), ours_end_at=ours)
    except SettingsError as error:
        return LineFacts(place, "refused_tls", error.message, ours_end_at=ours)
    except ssl.SSLCertVerificationError as error:
        return LineFacts(place, "certificate", error.verify_message, ours_end_at=ours)
    except ssl.SSLError as error:
        return LineFacts(place, "refused_tls", (error.reason or "TLS").replace("_", " ").lower(), ours_end_at=ours)
    except OSError as error:
        return LineFacts(place, "unreachable", error.strerror or str(error) or type(error).__name__, ours_end_at=ours)


def _end(certificate: bytes | None) -> datetime | None:
    from cryptography import x509

    return None if certificate is None else x509.load_der_x509_certificate(certificate).not_valid_after_utc


def _end_of(path: Path | None) -> datetime | None:
    from cryptography import x509

    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return None
