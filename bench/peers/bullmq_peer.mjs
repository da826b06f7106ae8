// BullMQ on node: what the forerunner ran on. The same command line as the Python peers, and `worker`.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PEERS_NODE}/`);
const { Queue, Worker } = require("bullmq");
const IORedis = require("ioredis").Redis;

const { REDIS_URL, BANK_URL } = process.env;
const CONC = Number(process.env.CONC ?? 5);
const CHECKS = Number(process.env.CHECKS ?? 1);
const APART_MS = 1000;
const KEEP = { removeOnComplete: { count: 1000 } };
const connect = () => new IORedis(REDIS_URL, { maxRetriesPerRequest: null });

function work() {
  const redis = connect();
  const queue = new Queue("bench", { connection: connect() });
  const check = async ({ data: { qrId, n, due } }) => {
    const started = Date.now();
    await (await fetch(`${BANK_URL}/qr/${qrId}`)).json();
    await (CHECKS > 1 ? redis.rpush("bench:late", started - due) : redis.incr("bench:done"));
    if (n < CHECKS)
      await queue.add("check", { qrId, n: n + 1, due: Date.now() + APART_MS }, { ...KEEP, delay: APART_MS });
  };
  new Worker("bench", check, { connection: connect(), concurrency: CONC });
}

async function enqueue(n) {
  const queue = new Queue("bench", { connection: connect() });
  const started = performance.now();
  for (let i = 0; i < n; i += 500)
    await queue.addBulk(Array.from({ length: Math.min(500, n - i) }, (_, k) => ({
      name: "check", data: { qrId: `QR${String(i + k).padStart(8, "0")}`, n: 1, due: Date.now() }, opts: KEEP })));
  console.log(JSON.stringify({ n, seconds: (performance.now() - started) / 1000 }));
  process.exit(0);
}

if (process.argv[2] === "worker") work();
else await enqueue(Number(process.argv[4]));
