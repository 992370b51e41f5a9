// `npm run demo`: starts the server as `npm start` does, sends it sample events of five types for ten seconds and shows
// the rows that land, by type. The server keeps running until it is stopped. `npm run demo -- 60` sends for a minute.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Client, connect } from '../src/client/connect.ts'
import { type Config, loadConfig } from '../src/config/config.ts'

const sampleSeconds = Number(process.argv[2] ?? 10)
const batchesPerSecond = 10
const eventsPerBatch = 50
const landingWaitMs = 10_000

/** Sample events of a small shop. Each type's share of a batch is proportional to its weight. */
const samples = [
  { type: 'sensor.reading', weight: 20, data: (n: number) => ({ sensor: `s-${n % 7}`, celsius: 18 + (n % 50) / 10 }) },
  { type: 'page.viewed', weight: 15, data: (n: number) => ({ path: `/products/${n % 40}` }) },
  { type: 'order.placed', weight: 8, data: (n: number) => ({ order: n, cents: 990 + (n % 90) * 100 }) },
  { type: 'payment.captured', weight: 5, data: (n: number) => ({ order: n, provider: 'card' }) },
  { type: 'parcel.shipped', weight: 2, data: (n: number) => ({ order: n, carrier: n % 2 === 0 ? 'rail' : 'road' }) },
] as const

const config = readConfig()
const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const server = spawn(process.execPath, [...process.execArgv, main, 'start'], { stdio: 'inherit' })
server.on('exit', (code) => process.exit(code ?? 1))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => server.kill(signal))

const shown = { tables: 0 }
const { grpc } = await addressesOf(server.pid as number)
const client = connect({ addresses: [grpc] })
const beganMicros = Date.now() * 1000
const sent = await sendSamples(client, () => showRows(beganMicros))
await untilLanded(sent, beganMicros)
client.close()
console.log(
  `\n${sent} events accepted, ${sumOf(rowsByType(beganMicros))} rows landed. The server runs on; Ctrl-C stops it.`,
)

function readConfig(): Config {
  try {
    return loadConfig({ env: process.env, cwd: process.cwd() })
  } catch (error) {
    console.error((error as Error).message)
    process.exit(1)
  }
}

/** Waits until the server that we started is ready. A file left by an earlier server does not count. */
async function addressesOf(pid: number): Promise<{ readonly http: string; readonly grpc: string }> {
  while (true) {
    const addresses = readJson('holder.json')?.pid === pid ? readJson('addresses.json') : null
    if (addresses !== null && (await isReady(addresses.http))) return addresses
    await sleep(50)
  }
}

/** Null if the file is missing or incomplete. */
function readJson(name: string) {
  try {
    return JSON.parse(readFileSync(join(config.dataDir, name), 'utf8'))
  } catch {
    return null
  }
}

async function isReady(address: string): Promise<boolean> {
  try {
    return (await fetch(`http://${address}/readyz`)).ok
  } catch {
    return false
  }
}

/** Returns the number of accepted events. */
async function sendSamples(to: Client, everySecond: () => void): Promise<number> {
  let accepted = 0
  for (let batch = 0; batch < sampleSeconds * batchesPerSecond; batch++) {
    const verdict = await to.publishEvents(makeBatch(batch * eventsPerBatch))
    accepted += verdict.accepted
    if (batch % batchesPerSecond === batchesPerSecond - 1) everySecond()
    await sleep(1000 / batchesPerSecond)
  }
  return accepted
}

function makeBatch(first: number) {
  return samples.flatMap(({ type, weight, data }) => {
    return Array.from({ length: weight }, (_, index) => ({ type, source: '/demo', data: data(first + index) }))
  })
}

async function untilLanded(count: number, sinceMicros: number): Promise<void> {
  const deadline = performance.now() + landingWaitMs
  while (sumOf(rowsByType(sinceMicros)) < count && performance.now() < deadline) await sleep(50)
  showRows(sinceMicros)
}

/** Reads the table directly, which any program may do while the server runs. */
function rowsByType(sinceMicros: number): Map<string, number> {
  const store = new DatabaseSync(join(config.dataDir, 'store.db'), { readOnly: true, timeout: 5000 })
  try {
    const query = store.prepare(
      `SELECT type, count(*) AS rows FROM events WHERE source = '/demo' AND received_at >= ? GROUP BY type`,
    )
    return new Map(query.all(sinceMicros).map(({ type, rows }) => [String(type), Number(rows)]))
  } finally {
    store.close()
  }
}

function sumOf(rows: ReadonlyMap<string, number>): number {
  return [...rows.values()].reduce((sum, count) => sum + count, 0)
}

/** On a terminal each table overwrites the previous one. */
function showRows(sinceMicros: number): void {
  const rows = rowsByType(sinceMicros)
  const lines = samples.map(({ type }) => `  ${type.padEnd(20)}${String(rows.get(type) ?? 0).padStart(8)}`)
  const table = [`  ${'type'.padEnd(20)}${'rows'.padStart(8)}`, ...lines]
  if (process.stdout.isTTY && shown.tables > 0) process.stdout.write(`\x1b[${table.length}A`)
  else process.stdout.write('\n')
  process.stdout.write(`${table.map((line) => `${line}\n`).join('')}`)
  shown.tables++
}
