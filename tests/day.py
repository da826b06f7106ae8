"""A whole day of a shop with two banks, its clock compressed: QRs in waves, an hour without one of the banks, a Redis
that is killed, workers that are replaced twice. Scraped all the while; at the end nothing moves any more."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paysync_cli.banks.simulator import RunningSimulator
from paysync_cli.store.clock import read as read_clock
from tests.embedded import running_servers, until
from tests.pace import Pace
from tests.scraping import Page, Scraper, scrape, values_of
from tests.shop import Shop, shop
from tests.torment import kill_redis
from tests.webhook import Webhook, webhook

HALF_PAST_MIDNIGHT = datetime(2031, 6, 14, 4, 30, tzinfo=UTC)  # in Bolivia: the day is one day of its banks, almost
CLEANUP_AT = "01:30"
LOOK_EVERY_S = 0.1

# What becomes of QRs, in turn. `late` and `quiet` use up their checks; `late` is paid then, which only a list tells.
FATES = {
    "sim": "soon cancelled soon expired soon under soon late soon over soon cancelled soon twice soon multi soon "
    "cancelled expired quiet soon".split(),
    "other": "soon expired soon quiet soon soon expired soon quiet soon".split(),
}
SHARES = ("sim", "sim", "other")
ENDS = {"soon": "completed", "over": "completed", "twice": "completed", "cancelled": "cancelled", "expired": "expired"}
REVIEWS = {"under": "amount_mismatch", "over": "overpaid", "twice": "double_payment"}

Moment = tuple[float, Callable[[], None]]  # a share of the day, and what happens then


@dataclass(frozen=True)
class One:
    """One QR of the day; `amount` in minor units."""

    bank: str
    qr_id: str
    fate: str
    amount: int


@dataclass
class Running:
    """A worker command of the day: where it tells its metrics and writes its log."""

    child: subprocess.Popen[bytes]
    out: Path
    log: Path
    url: str = ""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def said(self) -> dict[str, Any]:
        """The document that it ended with."""
        shown = self.out.read_text()  # with what Python warned of, if anything
        document: dict[str, Any] = json.JSONDecoder().raw_decode(shown, shown.index("{"))[0]
        return document["data"]  # type: ignore[no-any-return]


@dataclass
class Day:
    """The day while it goes by, and all that is left of it."""

    pace: Pace
    town: Shop
    banks: Mapping[str, RunningSimulator]
    hook: Webhook
    clock: Callable[[], datetime]
    scraper: Scraper = field(default_factory=Scraper)
    workers: list[Running] = field(default_factory=list)
    qrs: list[One] = field(default_factory=list)
    paid_late: list[One] = field(default_factory=list)
    at_rest: Page = field(default_factory=dict)
    _serve: str = ""
    _working: list[Running] = field(default_factory=list)

    def play(self) -> None:
        """Live through the day, then let everything come to rest and end the workers."""
        self._serve = self._start_serve()
        self._working = [self.start_worker("--processes", "2"), self.start_worker()]
        with self.scraper.running():
            began = self.clock()
            for share, happen in sorted(self._agenda(), key=lambda moment: moment[0]):
                self._wait_until(began + share * timedelta(hours=self.pace.hours))
                happen()
            self._wait_until(began + timedelta(hours=self.pace.hours))
            self._settle()
            for one in self._working:
                self.stop_worker(one)

    def _agenda(self) -> list[Moment]:
        waves = [(share, lambda number=number: self.register_wave(number)) for number, share in
                 enumerate(self.pace.waves())]  # fmt: skip
        return [
            *waves,
            (0.18, lambda: self.replace_workers((), ("--processes", "2"))),
            (0.33, self.kill_redis),
            (0.42, self.bank_goes_away),
            (0.80, lambda: self.replace_workers(("--processes", "2"), ())),
        ]

    # -- what happens

    def register_wave(self, number: int) -> None:
        """Import the wave's QRs; the bank learns of their fates after that, so that nothing is paid before."""
        waves = self.pace.waves()
        each, more = divmod(self.pace.qrs, len(waves))
        wave = [self._one(len(self.qrs) + n) for n in range(each + (number < more))]
        due = f"{self.clock() + self.pace.due_after:%Y-%m-%dT%H:%M:%SZ}"
        rows = [
            f"{one.qr_id},{text(one.amount)},{one.bank},{one.fate == 'multi'},{due if one.fate == 'expired' else ''}"
            for one in wave
        ]
        file = self.town.home / f"wave-{number}.csv"
        file.write_text("\n".join(["qr_id,amount,bank,multi_use,due", *rows, ""]).lower())
        assert self.town.json("import", str(file))["created"] == len(wave)
        for name, bank in self.banks.items():
            bank.load({"qr": [at_the_bank(one) for one in wave if one.bank == name]})
        self.qrs += wave

    def _one(self, n: int) -> One:
        bank = SHARES[n % len(SHARES)]
        fates = FATES[bank]
        return One(bank, f"{n + 1:08d}", fates[n // len(SHARES) % len(fates)], 1000 + n)

    def replace_workers(self, *commands: Sequence[str]) -> None:
        """A rolling restart: each new worker works before its old one is told to end."""
        for place, arguments in enumerate(commands):
            old, self._working[place] = self._working[place], self.start_worker(*arguments)
            self.stop_worker(old)

    def start_worker(self, *arguments: str) -> Running:
        number = len(self.town.children)
        log = self.town.home / f"log-{number}.jsonl"
        words = ("worker", "--concurrency", "20", "--health-port", "0", "--json", "--quiet", *arguments)
        child = self.town.start(*words, env={"PAYSYNC_LOG_FILE": str(log)})
        started = Running(child, self.town.home / f"worker-{number}.log", log)
        processes = int(arguments[1]) if arguments else 1

        def ready() -> bool:
            assert child.poll() is None, started.out.read_text()
            events = Counter(line["event"] for line in started.lines())
            return events["worker_registered"] >= processes and events["health_port"] == 1

        until_slowly(ready)
        (started.url,) = [line["url"] for line in started.lines() if line["event"] == "health_port"]
        self.workers.append(started)
        self.scraper.watch(started.url)
        return started

    def stop_worker(self, one: Running) -> None:
        self.scraper.leave(one.url)
        assert self.town.stop(one.child) == 0, one.out.read_text()

    def kill_redis(self) -> None:
        before = running_servers(self.town.home)
        assert len(before) == 1
        kill_redis(self.town)
        until_slowly(lambda: len(after := running_servers(self.town.home)) == 1 and after != before)

    def bank_goes_away(self) -> None:
        away = {"kind": "down", "on": "all", "from": "+0s", "until": f"+{int(self.pace.outage.total_seconds())}s"}
        self.banks["sim"].load({"fault": [away]})

    def _start_serve(self) -> str:
        out = self.town.home / f"worker-{len(self.town.children)}.log"
        self.town.start("serve", "--port", "0", "--json", env={"PAYSYNC_LOG_FILE": str(self.town.home / "serve.jsonl")})

        def url() -> str | None:
            found = [word for word in out.read_text().replace('"', " ").split() if word.startswith("http://127.0.0.1:")]
            return found[0].rstrip(",./") if found else None

        found = until_slowly(url)
        self.scraper.watch(found)
        return str(found)

    # -- as time goes by

    def _wait_until(self, moment: datetime) -> None:
        while self.clock() < moment:
            self._pay_the_late()
            time.sleep(LOOK_EVERY_S)

    def _pay_the_late(self) -> bool:
        """Those who used up their checks: the next check is a day away, so that only the list can tell of it.

        Whether there was one so far.
        """
        late = {one.qr_id: one for one in self.qrs if one.fate == "late" and one not in self.paid_late}
        rows = self.select("SELECT qr_id FROM paysync_qrs WHERE bank = 'sim' AND plan_state = 'exhausted'")
        for (qr_id,) in rows:
            if qr_id in late:
                self.banks["sim"].pay(qr_id, text(late[qr_id].amount))
                self.paid_late.append(late[qr_id])
        return bool(self.paid_late)

    def _settle(self) -> None:
        """Wait for what must come, then pause the banks, and wait until nothing is under way."""
        until_slowly(self._pay_the_late)  # a machine that has more to do has got less far
        until_slowly(self._all_ended)
        until_slowly(lambda: self._told_over() and self.booked() == self.paid())
        for bank in self.banks:
            self.town.json("pause", bank, "--reason", "the day is over")
        self.at_rest = until_slowly(self._page_at_rest)
        until_slowly(self._all_told)

    def _all_ended(self) -> bool:
        found = dict(self.select("SELECT qr_id, status FROM paysync_qrs"))
        return all(found[one.qr_id] == ENDS[one.fate] for one in self.qrs if one.fate in ENDS)

    def _told_over(self) -> bool:
        return not self.select("SELECT 1 FROM paysync_alerts WHERE standing = 1")

    def _all_told(self) -> bool:
        news = self.select("SELECT 1 FROM paysync_alerts WHERE news = 1")
        return not news and not self.select("SELECT 1 FROM paysync_alert_messages WHERE delivered_at IS NULL")

    def _page_at_rest(self) -> Page | None:
        """A page made while nothing was under way, neither before it nor after it."""

        def look() -> list[tuple[Any, ...]]:
            return self.select("SELECT plan_state, count(*), (SELECT count(*) FROM paysync_checks) FROM paysync_qrs"
                               " GROUP BY plan_state ORDER BY plan_state")  # fmt: skip

        before = look()
        if any(state == "queued" for state, *_ in before):
            return None
        time.sleep(1.2)  # counts are kept for a second
        page = scrape(self._serve)
        idle = page["paysync_jobs"]["active",] == 0 and page["paysync_counted_age_seconds"][()] < 1
        return page if idle and before == look() else None

    # -- what is left

    def select(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self.town.home / 'paysync.db'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def figures(self, query: str) -> dict[tuple[str, ...], int]:
        """The last column by the ones before it."""
        return {row[:-1]: row[-1] for row in self.select(query)}

    def logs(self) -> list[dict[str, Any]]:
        """Every line of every worker."""
        return [line for one in self.workers for line in one.lines()]

    def counted(self, metric: str) -> dict[tuple[str, ...], int]:
        """What all workers counted together, from their last words."""
        total: Counter[tuple[str, ...]] = Counter()
        for one in self.workers:
            for row in one.said()["counted"]:
                if row["metric"] == metric:
                    total[values_of(metric, row["labels"])] += row["value"]
        return dict(total)

    def booked(self) -> Counter[tuple[str, ...]]:
        return Counter(self.select(
            "SELECT m.bank, q.qr_id, m.amount_minor, m.currency FROM paysync_movements m JOIN paysync_qrs q"
            " ON q.id = m.qr"))  # fmt: skip

    def paid(self) -> Counter[tuple[str, ...]]:
        """What the banks say was paid."""
        return Counter(
            (name, one["qr"], int(one["amount"].replace(".", "")), one["currency"])
            for name, bank in self.banks.items()
            for one in bank.ledger()["payments"]
        )


def at_the_bank(one: One) -> dict[str, Any]:
    """What the bank's scenario says of a QR that is registered now."""
    told: dict[str, Any] = {"id": one.qr_id, "amount": text(one.amount), "multi_use": one.fate == "multi"}
    minutes = 1 + one.amount % 4
    match one.fate:
        case "soon":
            told["paid"] = f"+{minutes}m"
        case "cancelled":
            told["cancelled"] = f"+{minutes}m"
        case "under":
            told["payment"] = [{"at": f"+{minutes}m", "amount": "5.00"}]
        case "over":
            told["payment"] = [{"at": f"+{minutes}m", "amount": text(one.amount + 100)}]
        case "twice":
            told["payment"] = [{"at": f"+{minutes}m"}, {"at": f"+{minutes + 1}m"}]
        case "multi":
            told["paid"] = [f"+{minutes}m", f"+{minutes + 4}m", f"+{minutes + 11}m"]
    return told


def text(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02d}"


def until_slowly(look: Callable[[], Any]) -> Any:
    """Look now and then: the banks run in this process and want their turn."""

    def look_after_a_pause() -> Any:
        time.sleep(LOOK_EVERY_S)
        return look()

    return until(look_after_a_pause)


@contextlib.contextmanager
def day(pace: Pace) -> Iterator[Day]:
    """A shop at half past midnight, with two banks and a webhook for its alerts. `play` lives through the day."""
    env = {
        "PAYMENT_SYNC_INTERVAL": "15m" if pace.whole else "5m",
        "PAYSYNC_MAX_CHECKS": str(pace.max_checks),
        "PAYSYNC_CLEANUP_AT": CLEANUP_AT,
        "PAYSYNC_ALERT_COOLDOWN": f"{int(pace.cooldown.total_seconds())}s",
        "PAYSYNC_DEFAULT_BANK": "sim",
    }
    lasting = {"token_lifetime": "3d"}
    with webhook() as hook, shop(lasting, speed=pace.speed, at=HALF_PAST_MIDNIGHT, env=env) as town:
        with town.runtime() as runtime:
            clock = read_clock(runtime.store)
        with RunningSimulator(lasting, now=clock.now) as other:
            keys = other.settings("bnb") | {"account": "shop", "rate": "1000/s", "concurrency": "100"}
            town.env |= {f"PAYSYNC_BANK_OTHER_{key.upper()}": value for key, value in keys.items()}
            town.env["PAYSYNC_ALERT_URLS"] = hook.url
            yield Day(pace, town, {"sim": town.bank, "other": other}, hook, clock.now)
