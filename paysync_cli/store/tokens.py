"""Where a page of a list ended, as one opaque word for `--after`."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from paysync_cli.errors import InputError
from paysync_cli.language import _

LARGEST_ID = 2**63 - 1


def write_token(name: str, row_id: int) -> str:
    """The token of a page of the list `name`, whose newest row comes first, that ended with this row."""
    return packed([name, row_id])


def read_token(name: str, token: str) -> int:
    """The row that the page before ended with. Raises InputError on a token of another list."""
    try:
        made_for, row_id = unpacked(token)
        if made_for != name or type(row_id) is not int or not 0 <= row_id <= LARGEST_ID:
            raise ValueError(token)
    except (ValueError, TypeError, RecursionError):
        raise InputError(
            _("--after {token} is not a page of this list.").format(token=token),
            hint=_("Take the token that the page before printed."),
        ) from None
    return row_id


def packed(values: Sequence[object]) -> str:
    """These values as one word."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def unpacked(token: str) -> Any:
    """What `packed` made a word of; any word may come. Raises ValueError, TypeError or RecursionError."""
    return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
