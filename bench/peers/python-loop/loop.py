"""A typical hand-written landing loop: Redis Streams in, PostgreSQL out.

Five workers in one event loop read up to 100 entries at a time. Each collects 500 entries, or those of 2 s, inserts them
with executemany and acknowledges them. The program lands what is already in the stream and prints two JSON lines: after the
warm-up rows and after all rows. The time ends with the last full batch, so it does not include the wait of 2 s.

Deliberately cheap: the payload is passed on as text, and values common to all rows are constants in the SQL.
"""

import asyncio
import json
import resource
import sys
import time
from datetime import datetime, timezone

import asyncpg
import redis.asyncio

WORKERS = 5
READ_COUNT = 100
READ_BLOCK_MS = 5000
BATCH_EVENTS = 500
BATCH_SECONDS = 2

INSERT = """
    INSERT INTO events (event_id, source, type, time, received_at, topic, priority, data, data_content_type, stream,
      log_offset)
    VALUES ($1, $2, $3, $4, $4, 'events', 2, $5, 'application/json', 1, 0)
"""


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Progress:
    """Counts landed rows and records when they landed."""

    def __init__(self, events, warm_up_events):
        self.events = events
        self.warm_up_events = warm_up_events
        self.landed = 0
        self.first = None
        self.last = None
        self.done = asyncio.Event()

    def add(self, count):
        self.landed += count
        now = (self.landed, time.monotonic(), cpu_seconds())
        if self.first is None and self.landed >= self.warm_up_events:
            self.first = self.last = now
            print(json.dumps({"warm": self.landed}), flush=True)
        elif self.first is not None and count >= BATCH_EVENTS:
            self.last = now
        if self.landed >= self.events:
            self.done.set()

    def result(self):
        events, seconds, cpu = (last - first for first, last in zip(self.first, self.last))
        return {"events": events, "seconds": seconds, "cpuSeconds": cpu}


async def work(name, stream, group, client, pool, progress):
    batch = []
    began = time.monotonic()
    while True:
        left_ms = READ_BLOCK_MS
        if batch:
            left_ms = max(1, min(left_ms, int(1000 * (began + BATCH_SECONDS - time.monotonic()))))
        reply = await client.xreadgroup(group, name, {stream: ">"}, count=READ_COUNT, block=left_ms)
        if not batch:
            began = time.monotonic()
        for _, entries in reply:
            batch.extend(entries)
        if len(batch) >= BATCH_EVENTS or (batch and time.monotonic() - began >= BATCH_SECONDS):
            received_at = datetime.now(timezone.utc)
            rows = [(event["id"], event["source"], event["type"], received_at, event["data"]) for _, event in batch]
            async with pool.acquire() as connection:
                await connection.executemany(INSERT, rows)
            await client.xack(stream, group, *[entry for entry, _ in batch])
            progress.add(len(batch))
            batch = []


async def main(options):
    client = redis.asyncio.from_url(options["redisUrl"], decode_responses=True)
    pool = await asyncpg.create_pool(options["postgresUrl"], min_size=WORKERS, max_size=WORKERS)
    progress = Progress(options["events"], options["warmUpEvents"])
    workers = [
        asyncio.create_task(work(f"worker-{number}", options["stream"], options["group"], client, pool, progress))
        for number in range(WORKERS)
    ]
    # A worker ends only when it fails, and then the run fails.
    done = asyncio.create_task(progress.done.wait())
    ended, _ = await asyncio.wait([done, *workers], return_when=asyncio.FIRST_COMPLETED)
    if done not in ended:
        await ended.pop()
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    print(json.dumps(progress.result()), flush=True)
    # Keep the connections open until the parent has read the CPU time of the servers' processes.
    sys.stdin.read()
    await pool.close()
    await client.close()


asyncio.run(main(json.loads(sys.argv[1])))
