// Class S of the fault tests: floods of frames, as an attacker would send. The server closes the flooding connection;
// other connections are not affected.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { order, orders } from '../support/events.ts'
import { eventually, within } from '../support/eventually.ts'
import { grpcClient, publishPath } from '../support/grpc-client.ts'
import { assertNoLeak, footprint } from '../support/leaks.ts'
import {
  callHeaders,
  emptySettings,
  endHeaders,
  frame,
  frameType,
  openingBytes,
  preface,
  type RawConnection,
  rawConnection,
} from '../support/raw-http2.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'

const mebibyte = 1024 * 1024
const enhanceYourCalm = 11

interface FloodLimits {
  readonly closedWithinMs: number
  readonly growthBytes: number
}

/** Floods a new connection while another client keeps publishing; returns the flooding connection once it is closed. */
async function flood(
  t: TestContext,
  server: ServerProcess,
  bytes: Buffer,
  limits: FloodLimits,
): Promise<RawConnection> {
  const other = grpcClient(t, server)
  await other.publish({ events: [order(0)] })
  const before = server.rssBytes
  let failed = 0
  let sent = 0
  const flooding = new AbortController()
  const others = (async () => {
    while (!flooding.signal.aborted) {
      sent++
      await other.publish({ events: [order(sent)] }, { deadlineMs: 3000 }).catch(() => failed++)
    }
  })()
  const raw = await rawConnection(t, server.grpc)
  raw.socket.write(bytes)
  await within(limits.closedWithinMs, 'closing the flooding connection', raw.closed)
  for (const soFar = sent; sent < soFar + 3; ) await sleep(5)
  flooding.abort()
  await others
  const growth = server.rssBytes - before
  t.diagnostic(`${sent} calls of the other client, RSS ${(growth / mebibyte).toFixed(1)} MiB`)
  assert.equal(failed, 0, 'calls of the other client failed')
  assert.ok(growth <= limits.growthBytes, `RSS grew by ${growth} bytes`)
  assert.ok(server.running)
  return raw
}

function goawayCode(raw: RawConnection): number | undefined {
  return raw
    .frames()
    .find(({ type }) => type === frameType.goaway)
    ?.payload.readUInt32BE(4)
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

test('floods of frames close the connection that sends them and affect no other client', async (t) => {
  const server = await startServer(t)
  // Warm up first; otherwise the process's normal growth would be attributed to the flood.
  const warm = grpcClient(t, server)
  for (let call = 0; call < 400; call++) await warm.publish({ events: orders(20) })
  const before = footprint(server)
  const headers = callHeaders(publishPath)
  const repeat = (count: number, bytes: (index: number) => Buffer): Buffer =>
    Buffer.concat(Array.from({ length: count }, (_, index) => bytes(index)))

  await t.test('fault S1: 5,000 calls that are reset at once', async (s) => {
    const calls = repeat(5000, (index) => {
      const stream = index * 2 + 1
      const open = frame(frameType.headers, endHeaders, stream, headers)
      return Buffer.concat([open, frame(frameType.rstStream, 0, stream, u32(8))])
    })
    // V8 grows its heap in leaps until it has the size of some thousand calls: memory for each call would be beyond that.
    const before = server.rssBytes
    for (let round = 0; round < 10; round++) {
      const limits = { closedWithinMs: 5000, growthBytes: 96 * mebibyte }
      const raw = await flood(s, server, Buffer.concat([preface, emptySettings, calls]), limits)
      assert.notEqual(goawayCode(raw), undefined, 'no GOAWAY was received')
    }
    const growth = server.rssBytes - before
    assert.ok(growth <= 224 * mebibyte, `RSS grew by ${growth} bytes`)
  })

  await t.test('fault S2: an endless header', async (s) => {
    const open = frame(frameType.headers, 0, 1, headers)
    const more = repeat(20_000, () => frame(frameType.continuation, 0, 1, Buffer.from([0, 1, 0x78, 1, 0x79])))
    const limits = { closedWithinMs: 5000, growthBytes: 8 * mebibyte }
    const raw = await flood(s, server, Buffer.concat([preface, emptySettings, open, more]), limits)
    assert.notEqual(goawayCode(raw), undefined, 'no GOAWAY was received')
  })

  await t.test('fault S3: 30,000 pings end in ENHANCE_YOUR_CALM within a second', async (s) => {
    const pings = repeat(30_000, (index) => frame(frameType.ping, 0, 0, Buffer.concat([u32(0), u32(index)])))
    const limits = { closedWithinMs: 1000, growthBytes: 16 * mebibyte }
    const raw = await flood(s, server, Buffer.concat([preface, emptySettings, pings]), limits)
    assert.equal(goawayCode(raw), enhanceYourCalm)
  })

  const floods: Record<string, Buffer> = {
    'a flood of SETTINGS': repeat(30_000, () => frame(frameType.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff]))),
    'a flood of empty DATA': repeat(30_000, () => frame(frameType.data, 0, 1, Buffer.alloc(0))),
    'a window that overflows': repeat(2, () => frame(frameType.windowUpdate, 0, 0, u32(0x7fffffff))),
    'a frame of 16 MiB': frame(frameType.data, 0, 1, Buffer.alloc(100), 0xffffff),
  }
  for (const [what, bytes] of Object.entries(floods)) {
    await t.test(`fault S4: ${what}`, async (s) => {
      const limits = { closedWithinMs: 5000, growthBytes: 16 * mebibyte }
      await flood(s, server, Buffer.concat([openingBytes(publishPath), bytes]), limits)
    })
  }

  await t.test('all flooding connections are closed', () => eventually(() => assertNoLeak(server, before)))
})

test('fault O7: with 256 file descriptors, new connections are refused, old ones work, and no loop spins', async (t) => {
  const server = await startServer(t, { wrapper: ['prlimit', '--nofile=256'] })
  const old = grpcClient(t, server)
  await old.publish({ events: [order(0)] })
  const crowd = await Promise.all(Array.from({ length: 500 }, () => rawConnection(t, server.grpc)))
  const cpuBefore = server.cpuMs
  const startedAt = performance.now()
  while (performance.now() - startedAt < 1500) {
    assert.equal((await old.publish({ events: [order(1)] }, { deadlineMs: 2000 })).accepted, 1n)
    await sleep(100)
  }
  const share = (server.cpuMs - cpuBefore) / (performance.now() - startedAt)
  t.diagnostic(`CPU ${Math.round(share * 100)} %`)
  assert.ok(share <= 0.5, `the server busy-loops: ${share} of a core`)
  for (const { socket } of crowd) socket.destroy()
  await eventually(async () => assert.equal((await grpcClient(t, server).publish({ events: [order(2)] })).accepted, 1n))
  assert.ok(server.running)
})
