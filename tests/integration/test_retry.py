"""Failed, retried, paid: the real worker, the bank over HTTP, the commands as processes."""

from __future__ import annotations

import json
from typing import Any

from tests.shop import Shop, shop

# Whatever is asked first fails, one attempt each: three failed jobs. All are paid, and no list says so.
BROKEN = {
    "qr": [{"id": f"QR{n}", "amount": "10.10", "payment": [{"at": "+0s", "in_list": "never"}]} for n in range(1, 4)],
    "fault": [{"kind": "server_error", "on": "status", "count": 3}],
}


def with_failed_jobs(town: Shop) -> None:
    town.register("QR1", "QR2", "QR3")
    worker = town.start("worker")
    town.until(lambda: town.json("failed")["total"] == 3)
    assert town.stop(worker) == 0


def test_failed_retried_paid() -> None:
    with shop(BROKEN, env={"PAYSYNC_ATTEMPTS": "1"}) as town:
        with_failed_jobs(town)
        failed = town.json("failed")
        assert sorted(item["qr_id"] for item in failed["items"]) == ["QR1", "QR2", "QR3"]
        assert all(item["error"] and item["failed_at"] for item in failed["items"])
        assert {item["plan_state"] for item in failed["items"]} == {"planned"}, "they are in their normal plan"
        (group,) = town.json("failed", "--group-by", "error")["groups"]
        assert (group["jobs"], group["qr_id"] in ("QR1", "QR2", "QR3")) == (3, True)
        assert "QR" not in group["error"].removeprefix("GET /api/qrsimple/v2/statusQR/"), "one cause, whichever QR"
        before = {qr_id: town.qr(qr_id).plan for qr_id in ("QR1", "QR2", "QR3")}

        retried = town.json("retry", "--all", "--error", group["error"], "--yes")
        assert (retried["matched"], retried["retried"], retried["items"]) == (3, 3, [])
        assert town.json("failed")["total"] == 0, "a job is not counted twice"
        after = town.qr("QR1").plan
        assert (after.seq, after.checks) == (before["QR1"].seq, before["QR1"].checks)
        assert (after.state.value, after.free) == ("planned", True)
        assert after.next_check_at is not None
        assert before["QR1"].next_check_at is not None
        assert after.next_check_at < before["QR1"].next_check_at
        assert waiting_jobs(town) == 0, "the plan decides: nothing is put into a queue by hand"
        assert [row["action"] for row in town.json("audit")["items"]] == ["retry"] * 3

        town.start("worker")
        town.until_final(["QR1", "QR2", "QR3"])
        assert town.books() == town.bank_says() == {"BOB": 3030}
        assert town.json("stats")["jobs"]["failed"] == 0
        assert {town.qr(f"QR{n}").plan.checks for n in range(1, 4)} == {0}, "a retry costs none of the budget"


def test_a_named_qr_is_retried_alone_and_wait_sees_it_paid() -> None:
    with shop(BROKEN, env={"PAYSYNC_ATTEMPTS": "1"}) as town:
        with_failed_jobs(town)
        (item,) = town.json("retry", "QR2")["items"]
        assert (item["qr_id"], item["outcome"]) == ("QR2", "retried")
        assert sorted(one["qr_id"] for one in town.json("failed")["items"]) == ["QR1", "QR3"]
        assert town.json("retry", "QR2")["items"][0]["outcome"] == "not_failed", "once is enough"
        town.start("worker")
        waited = town.run("wait", "QR2", "--timeout", "50s", "--json")
        assert waited.status == 0, waited
        assert json.loads(waited.out)["data"]["status"] == "completed"
        assert town.qr("QR1").status.value != "completed", "the others wait for their moment"


def waiting_jobs(town: Shop) -> Any:
    with town.runtime() as runtime:
        return runtime.queue.job_counts().waiting
