// Limits that hold for the group of a handler in all processes.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { backends, type Home } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus } from '../support/http-client.ts'
import { clientOf } from '../support/publish.ts'
import { projectRoot, startServer } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const leaseMs = 2000

/** Two processes with the recording handler, and what the handlers have written. */
async function startTwo(t: TestContext, home: Home, limits: Readonly<Record<string, number>>) {
  const path = join(home.dataDir, 'records.txt')
  writeFileSync(path, '')
  const env = {
    ...{
      ...home.env,
      LIMITS: JSON.stringify(limits),
      RECORDS: path,
      MAX_ATTEMPTS: '10',
      MILLRACE_LEASE_MS: String(leaseMs),
    },
    MILLRACE_HANDLERS: join(projectRoot, 'test/support/recording-handler.ts'),
  }
  const start = () => startServer(t, { dataDir: tempDirectory(t), env })
  const servers = [await start(), await start()] as const
  return { servers, env, records: () => readRecords(path) }
}

/** The lines in the order in which the processes wrote them. */
function readRecords(path: string) {
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => {
    const [what, id, , , pid, ms] = line.split(' ')
    return { what: what!, id: id!, pid: Number(pid), ms: Number(ms) }
  })
}

async function publish(t: TestContext, server: { readonly grpc: string }, count: number, workMs: number, keys = count) {
  const events = Array.from({ length: count }, (_, at) => {
    const key = `k${at % keys}`
    return { id: `${key}.${at}`, key, type: 'work', data: { workMs } }
  })
  for (let from = 0; from < count; from += 5) await clientOf(t, server).publishEvents(events.slice(from, from + 5))
}

async function groupOf(server: { readonly http: string }) {
  const { topics } = await getStatus(server.http)
  return topics.find(({ name }) => name === 'events')!.groups.find(({ name }) => name === 'recorder')!
}

const allDone = (server: { readonly http: string }) =>
  eventually(async () => assert.equal((await groupOf(server)).waiting, 0), { withinMs: 60_000 })

for (const backend of backends('redis', 'cluster')) {
  test(`groupConcurrency holds in two processes, and the permits of one that is killed come back (${backend.name})`, async (t) => {
    const { servers, records } = await startTwo(t, await backend.home(t), { groupConcurrency: 3 })
    const [first, second] = servers
    await publish(t, second, 120, 100)
    await eventually(async () => {
      const reasons = await Promise.all(servers.map(async (server) => (await groupOf(server)).state.reason))
      assert.ok(reasons.includes('3 of 3 permits of the group are taken'), `${reasons}`)
    })
    // Both work: who has none gets a share.
    await eventually(() => assert.equal(new Set(records().map(({ pid }) => pid)).size, 2))
    await eventually(() => {
      const open = openOf(records())
      assert.ok([...open.values()].some((pid) => pid === first.pid))
    })
    await first.crash()
    const killedAtMs = Date.now()
    await allDone(second)

    const open = new Map<string, number>()
    const most = { both: 0, survivor: 0 }
    for (const { what, id, pid, ms } of records()) {
      const name = `${pid} ${id}`
      if (what === 'end') open.delete(name)
      else {
        open.set(name, pid)
        // The server counts what has died until its lease ends.
        const isOver = ms > killedAtMs + leaseMs / 2
        if (isOver) for (const [other, of] of open) if (of === first.pid) open.delete(other)
        if (isOver) most.survivor = Math.max(most.survivor, open.size)
        else most.both = Math.max(most.both, open.size)
      }
    }
    assert.deepEqual(most, { both: 3, survivor: 3 })
  })

  test(`ratePerSecond holds in two processes (${backend.name})`, async (t) => {
    const ratePerSecond = 20
    const { servers, records } = await startTwo(t, await backend.home(t), { ratePerSecond })
    await publish(t, servers[0], 120, 5)
    await eventually(async () => {
      const reasons = await Promise.all(servers.map(async (server) => (await groupOf(server)).state.reason))
      assert.ok(reasons.includes('the rate of the group, 20 events a second, is used up'), `${reasons}`)
    })
    await allDone(servers[0])
    const begun = records().filter(({ what }) => what === 'begin')
    const times = begun.map(({ ms }) => ms).sort((a, b) => a - b)
    const most = Math.max(...times.map((from, at) => times.slice(at).filter((ms) => ms < from + 1000).length))
    assert.equal(most, ratePerSecond)
    const tookMs = times.at(-1)! - times[0]!
    assert.ok(tookMs < 7500, `120 events at 20 a second took ${tookMs} ms`)
    assert.equal(new Set(begun.map(({ pid }) => pid)).size, 2, 'both processes work')
  })
}

for (const backend of backends('redis', 'cluster')) {
  test(`a rate with which a group is resumed holds in two processes (${backend.name})`, async (t) => {
    const [ratePerSecond, events] = [20, 60]
    const home = await backend.home(t)
    const { servers, records } = await startTwo(t, { ...home, env: { ...home.env, MILLRACE_TOPICS: 'events:4' } }, {})
    const { administration } = clientOf(t, servers[0])
    const recorder = { topic: 'events', group: 'recorder' }
    await administration.resumeGroup(recorder, ratePerSecond)
    await publish(t, servers[0], events + 20, 5)
    const begun = () => records().filter(({ what }) => what === 'begin')
    await eventually(() => assert.ok(begun().length >= events), { withinMs: 60_000 })
    const states = await Promise.all(servers.map(async (server) => (await groupOf(server)).state.is))
    assert.deepEqual(states, ['limited', 'limited'])
    await administration.resumeGroup(recorder)
    await allDone(servers[0])
    const tookMs = begun()[events - 1]!.ms - begun()[0]!.ms
    // Up to a message of each process is ahead of the rate.
    assert.ok(tookMs >= (1000 * (events - 12)) / ratePerSecond, `${events} events in ${tookMs} ms`)
    assert.equal(new Set(begun().map(({ pid }) => pid)).size, 2, 'both processes work')
  })

  test(`limitPerKey holds in two processes (${backend.name})`, async (t) => {
    const home = await backend.home(t)
    const several = { ...home, env: { ...home.env, MILLRACE_TOPICS: 'events:4' } }
    const { servers, records } = await startTwo(t, several, { limitPerKey: 2 })
    await publish(t, servers[0], 300, 20, 5)
    await allDone(servers[0])
    const atWork = new Map<string, number>()
    let most = 0
    for (const { what, id } of records()) {
      const [key] = id.split('.') as [string]
      atWork.set(key, (atWork.get(key) ?? 0) + (what === 'begin' ? 1 : -1))
      most = Math.max(most, atWork.get(key)!)
    }
    assert.deepEqual([most, new Set(records().map(({ pid }) => pid)).size], [2, 2])
  })
}

test('a process that states other limits than those that run does not start, and the error names the option', async (t) => {
  const home = await backends('redis')[0]!.home(t)
  const { env } = await startTwo(t, home, { groupConcurrency: 3 })
  const startWith = (limits: string) => startServer(t, { dataDir: tempDirectory(t), env: { ...env, LIMITS: limits } })
  await assert.rejects(startWith('{"groupConcurrency":4}'), /has groupConcurrency: 3 .* declared with 4/)
  await assert.rejects(startWith('{}'), /has groupConcurrency: 3 .* declared with none/)
  await assert.rejects(startWith('{"groupConcurrency":3,"limitPerKey":2}'), /was declared with ordered: true/)
})

/** What has begun and not ended, with its process. */
function openOf(records: readonly { what: string; id: string; pid: number }[]): Map<string, number> {
  const open = new Map<string, number>()
  for (const { what, id, pid } of records) {
    if (what === 'end') open.delete(`${pid} ${id}`)
    else open.set(`${pid} ${id}`, pid)
  }
  return open
}
