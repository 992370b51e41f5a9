import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Running,
  runMillrace,
  runMillraceProcess,
  startMillrace,
  temporaryDirectory,
} from './run-millrace.test-support.ts'

const env = { MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0', MILLRACE_DISK_RESERVE_BYTES: '0' }

interface Finding {
  readonly subject: string
  readonly state: string
  readonly message: string
}

async function startServer(t: TestContext, cwd: string): Promise<Running> {
  const running = startMillrace(t, ['start'], { cwd, env })
  while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(20)
  return running
}

/** A data directory with 300 landed events, left by a stopped server. The tests work on copies. */
const original = mkdtempSync(join(tmpdir(), 'millrace-cli-'))
after(() => rmSync(original, { recursive: true, force: true }))

test('setup: a server lands 300 events and stops cleanly', async (t) => {
  const { child, ended } = await startServer(t, original)
  const words = ['produce', '300', '--batch', '10', '--payload', '1000']
  const { code } = await runMillrace(words, { cwd: original, env })
  assert.equal(code, 0)
  for (;;) {
    const { stdout } = await runMillrace(['status', '--output', 'json'], { cwd: original, env })
    if (JSON.parse(stdout).ledger.some(({ landed }: { landed: number }) => landed === 300)) break
  }
  child.kill('SIGTERM')
  assert.equal((await ended).code, 0)
})

function withEvents(t: TestContext): string {
  const cwd = temporaryDirectory(t)
  cpSync(join(original, 'data'), join(cwd, 'data'), { recursive: true })
  return cwd
}

async function doctor(cwd: string, ...words: string[]) {
  const { code, stdout, stderr } = await runMillrace(['doctor', ...words, '--output', 'json'], { cwd, env })
  const { findings, repair } = stdout === '' ? { findings: [], repair: null } : JSON.parse(stdout)
  const of = (subject: string) => (findings as Finding[]).find((finding) => finding.subject === subject)
  return { code, stderr, of, repair, findings: findings as Finding[] }
}

test('doctor reports a healthy directory and changes nothing', async (t) => {
  const empty = temporaryDirectory(t)
  const fresh = await doctor(empty)
  assert.equal(fresh.code, 0)
  assert.deepEqual(fresh.of('log'), { subject: 'log', state: 'ok', message: 'does not exist yet' })
  assert.deepEqual(readdirSync(empty), [])

  const cwd = withEvents(t)
  const before = readdirSync(join(cwd, 'data'))
  const { code, findings, of } = await doctor(cwd)
  const table = await runMillrace(['doctor'], { cwd, env })
  const repaired = await doctor(cwd, '--repair')

  assert.equal(code, 0)
  assert.deepEqual(
    findings.filter(({ state }) => state !== 'ok'),
    [],
  )
  assert.match(of('log')?.message ?? '', /^300 events in \d+ entries .*no damage$/)
  assert.match(table.stdout, /^ok +log +300 events/m)
  assert.deepEqual([repaired.code, repaired.repair], [0, null])
  assert.match(repaired.stderr, /nothing to repair/)
  assert.deepEqual(readdirSync(join(cwd, 'data')), before)
})

test('doctor does not touch the files of a running server, and names it', async (t) => {
  const cwd = temporaryDirectory(t)
  await startServer(t, cwd)
  const { pid } = JSON.parse(readFileSync(join(cwd, 'data/holder.json'), 'utf8'))

  const { code, of } = await doctor(cwd)
  const repair = await doctor(cwd, '--repair')

  assert.equal(code, 0)
  assert.match(of('server')?.message ?? '', new RegExp(`process ${pid} `))
  assert.equal(of('log'), undefined)
  assert.equal(repair.code, 1)
  assert.match(repair.stderr, new RegExp(`in use by process ${pid}`))
})

test('damage is reported with file, expected, found and fix; the repair keeps what can be read, and the server starts again', async (t) => {
  const cwd = withEvents(t)
  const log = join(cwd, 'data/log.db')
  const size = statSync(log).size
  truncateSync(log, Math.floor((size * 0.6) / 4096) * 4096)
  const damaged = readFileSync(log)

  const start = await runMillraceProcess(t, ['start'], { cwd, env })
  const found = await doctor(cwd)
  const repaired = await runMillrace(['doctor', '--repair'], { cwd, env })
  const after = await doctor(cwd)

  assert.equal(start.code, 3)
  assert.equal(found.code, 3)
  assert.equal(found.of('log')?.state, 'damaged')
  assert.ok(found.of('log')?.message.startsWith(`${log}: expected `))
  assert.match(found.of('log')?.message ?? '', /, found .*; run "millrace doctor --repair"/)
  assert.equal(repaired.code, 0, repaired.stdout + repaired.stderr)
  assert.match(
    repaired.stdout,
    /^The log was repaired; epoch 2 begins\.\n {2}kept: [\d,]+ events in [\d,]+ entr(?:y|ies)/,
  )
  const keptAs = / {2}old file: (.+)\n/.exec(repaired.stdout)?.[1]
  assert.deepEqual(readFileSync(keptAs!), damaged)
  assert.deepEqual([after.code, after.of('log')?.state], [0, 'ok'])
  const { child, ended } = await startServer(t, cwd)
  child.kill('SIGTERM')
  assert.equal((await ended).code, 0)
})

test('a store that is damaged, or missing although events have landed, is reported', async (t) => {
  const cwd = withEvents(t)
  const store = join(cwd, 'data/store.db')
  const copy = temporaryDirectory(t)
  cpSync(join(cwd, 'data'), join(copy, 'data'), { recursive: true })
  rmSync(store)
  writeFileSync(join(copy, 'data/store.db'), Buffer.alloc(8192, 'no database '))

  const missing = await doctor(cwd)
  const foreign = await doctor(copy)

  assert.deepEqual([missing.code, missing.of('store')?.state], [3, 'damaged'])
  assert.match(missing.of('store')?.message ?? '', /store\.db is missing, and 300 events landed in it/)
  assert.equal(existsSync(store), false)
  assert.deepEqual([foreign.code, foreign.of('store')?.state], [3, 'damaged'])
})

test('anything else that would keep a server from running is a problem: exit code 1', async (t) => {
  const cwd = temporaryDirectory(t)
  const full = await doctor(cwd, '--disk-reserve-bytes', String(2 ** 49))
  assert.equal(full.code, 1)
  assert.equal(full.of('disk')?.state, 'problem')
})
