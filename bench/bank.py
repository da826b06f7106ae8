"""The stub bank of all contestants: a raw HTTP/1.1 protocol on uvloop that must never be what limits them.

    GET  /qr/{id}                            -> what the peers ask
    POST /api/authentication/authenticate    -> Baneco's login
    GET  /api/qrsimple/v2/statusQR/{id}      -> the same QR in Baneco's format, which paysync asks
    GET  /api/qrsimple/v2/paidQR/{date}      -> Baneco's list of that day: `--listed` payments

One port per latency (`--ports 0:9100,20:9120`: milliseconds:port). One QR in ten, by its last digit, is paid.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import uvloop

LOGIN, STATUS, PAID = "/api/authentication/authenticate", "/api/qrsimple/v2/statusQR/", "/api/qrsimple/v2/paidQR/"
LOGGED_IN = '{"responseCode":0,"message":"","token":"bench-token"}'
UNPAID = '{"responseCode":0,"message":"","statusQrCode":0,"payment":[]}'


def payment(qr_id: str, day: str) -> dict[str, object]:
    return {
        "qrId": qr_id, "transactionId": f"T{qr_id}", "paymentDate": f"{day}T00:00:00", "paymentTime": "00:00:01",
        "currency": "BOB", "amount": 120.5, "senderBankCode": "1014", "senderName": "A. Payer",
        "senderDocumentId": "0", "senderAccount": "******1234", "description": "invoice 4711",
    }  # fmt: skip


class Answers:
    """What the bank says, as bytes."""

    def __init__(self, listed: int) -> None:
        self._today = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 4 * 3600))
        elements = [payment(f"QR{i:08d}", self._today) for i in range(listed)]
        self._list = json.dumps({"responseCode": 0, "message": "", "paymentList": elements}).encode()

    def of(self, target: str) -> bytes:
        if target.startswith("/qr/"):
            return _reply(_peers_qr(target[4:]).encode())
        if target.startswith(STATUS):
            qr_id = target[len(STATUS) :]
            return _reply(self._paid(qr_id) if qr_id.endswith("7") else UNPAID.encode())
        if target.startswith(PAID):
            ours = target[len(PAID) :] == self._today.replace("-", "")
            return _reply(self._list if ours else b'{"responseCode":0,"message":"","paymentList":[]}')
        return _reply(LOGGED_IN.encode()) if target == LOGIN else _reply(b"{}", b"404 Not Found")

    def _paid(self, qr_id: str) -> bytes:
        answer = {"responseCode": 0, "message": "", "statusQrCode": 1, "payment": [payment(qr_id, self._today)]}
        return json.dumps(answer).encode()


def _peers_qr(qr_id: str) -> str:
    paid = qr_id.endswith("7")
    answer = {
        "qrId": qr_id, "statusQrCode": int(paid), "currency": "BOB", "amount": "120.50", "gloss": "invoice 4711",
        "expirationDate": "2030-12-31", "singleUse": True, "paidAt": "2030-01-01T10:00:00-04:00" if paid else None,
        "payer": {"name": "A. Payer", "bank": "1014"},
    }  # fmt: skip
    return json.dumps(answer, separators=(",", ":"))


def _reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Bank(asyncio.Protocol):
    """One connection. Requests without a body, but for the login's, whose length is read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answers: Answers, latency_s: float) -> None:
        self._loop, self._answers, self._latency_s, self._buffer = loop, answers, latency_s, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            body = _body_length(head) if head.startswith(b"POST") else 0
            if len(self._buffer) < end + 4 + body:
                return
            self._buffer = self._buffer[end + 4 + body :]
            target = head[: head.find(b"\r\n")].split(b" ", 2)[1].decode()
            if self._latency_s:
                self._loop.call_later(self._latency_s, self._answer, target)
            else:
                self._answer(target)

    def _answer(self, target: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._answers.of(target))  # type: ignore[attr-defined]


def _body_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":", 1)[1])
    return 0


async def serve(ports: dict[int, int], answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    for latency_ms, port in ports.items():
        await loop.create_server(
            lambda latency_s=latency_ms / 1000: Bank(loop, answers, latency_s), "127.0.0.1", port, backlog=4096
        )
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", default="0:9100,20:9120")
    parser.add_argument("--listed", type=int, default=0)
    options = parser.parse_args()
    pairs = (pair.split(":") for pair in options.ports.split(","))
    uvloop.run(serve({int(latency): int(port) for latency, port in pairs}, Answers(options.listed)))
