"""`docs/serve.md`: its settings are read, its commands run, its answers are what one sees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from paysync_cli.banks import registry
from tests.process import run_paysync
from tests.served import TOKEN, Served, serving
from tests.shop import Shop, shop

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
URL = "http://127.0.0.1:9108"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    fences = re.findall(r"^```(.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(fences[::2]) == {"toml", "console"}
    assert (len(blocks("toml")), len(blocks("console"))) == (1, 6)


def test_the_settings_are_right(tmp_path: Path) -> None:
    (tmp_path / "paysync.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (tmp_path / "paysync.toml").chmod(0o600)
    ended = run_paysync("config", "check", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")


def test_every_adapter_that_takes_notices_is_in_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \|", page.partition("| adapter |")[2], re.MULTILINE)
    assert set(told) == set(registry.adapter_names())


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_what_is_on_the_page_is_what_one_sees() -> None:
    secret = re.search(r'notice_secret = "(.*)"', PAGE.read_text(encoding="utf-8"))
    assert secret is not None
    with shop() as town:
        named = {name.replace("_SIM_", "_BANECO_"): value for name, value in town.env.items()}
        named |= {"PAYSYNC_BANK_BANECO_ACCOUNT": "", "PAYSYNC_BANK_BANECO_NOTICE_SECRET": secret[1]}
        only = Shop(town.home, town.bank, {k: v for k, v in named.items() if "_SIM_" not in k})
        with serving(only, "--notify", PAYSYNC_BANK_SIM_NOTICE_SECRET="") as server:
            started, *asked = blocks("console")
            routes = started.partition("\n")[2].replace(URL, server.url)
            assert server.log.read_text().startswith(routes)
            for block in asked:
                command, _line_end, expected = block.partition("\n")
                assert seen(server, command.removeprefix("$ ")) == MOMENT.sub("MOMENT", expected), command


def seen(server: Served, command: str) -> str:
    done = subprocess.run(
        ["sh", "-c", command.replace(URL, server.url)],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TOKEN": TOKEN}, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return MOMENT.sub("MOMENT", done.stdout)
