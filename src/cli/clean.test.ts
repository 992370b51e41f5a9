import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { RedisServer } from '../../test/support/redis-server.ts'
import { runMillrace, startMillrace, temporaryDirectory } from './run-millrace.test-support.ts'

const env = { MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' }
const others = ['log.db.backup', 'my-log.db', 'notes.txt', 'store.dbx']

/** A directory whose `data` was left by a killed server and also has files of other programs. */
async function leftByServer(t: TestContext): Promise<string> {
  const cwd = temporaryDirectory(t)
  const { child, ended } = startMillrace(t, ['start'], { cwd, env })
  while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(20)
  const { code, stderr } = await runMillrace(['clean', '--yes'], { cwd })
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`in use by process ${child.pid} `), 'never while a server runs')
  child.kill('SIGKILL')
  await ended
  for (const name of others) writeFileSync(join(cwd, 'data', name), 'mine')
  writeFileSync(join(cwd, 'data/log.damaged-1.db'), 'from a repair')
  mkdirSync(join(cwd, 'data/mine'))
  return cwd
}

test('clean removes exactly the files of Millrace, and only with --yes or a confirmation', async (t) => {
  const cwd = await leftByServer(t)
  const before = readdirSync(join(cwd, 'data'))

  const asked = await runMillrace(['clean'], { cwd })
  const afterAsking = readdirSync(join(cwd, 'data'))
  const confirmed = await runMillrace(['clean', '--yes', '--output', 'json'], { cwd })
  const again = await runMillrace(['clean', '--yes'], { cwd })

  assert.deepEqual([asked.code, asked.stdout], [1, ''])
  assert.match(asked.stderr, /stdin is not a terminal; add --yes/)
  assert.deepEqual(afterAsking, before)
  assert.equal(confirmed.code, 0)
  const { removed } = JSON.parse(confirmed.stdout)
  for (const name of ['log.db', 'log.mark', 'store.db', 'holder.json', 'addresses.json', 'log.damaged-1.db']) {
    assert.ok(removed.includes(name), name)
  }
  assert.deepEqual(readdirSync(join(cwd, 'data')).toSorted(), [...others, 'mine'].toSorted())
  assert.match(again.stdout, /^Nothing to remove: .* has no files of Millrace/)
  assert.equal(again.code, 0)
})

test('on a terminal clean asks, and only yes confirms', async (t) => {
  const main = fileURLToPath(new URL('./main.ts', import.meta.url))
  const cwd = temporaryDirectory(t)
  mkdirSync(join(cwd, 'data'))
  writeFileSync(join(cwd, 'data/log.mark'), 'x')
  const answer = (text: string) =>
    spawnSync('script', ['-qec', `'${process.execPath}' '${main}' clean`, '/dev/null'], {
      cwd,
      input: `${text}\n`,
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '' },
    })

  const no = answer('no')
  assert.equal(no.status, 1)
  assert.match(no.stdout, /Remove log\.mark from .*\? This deletes all events in it\. \(yes\/no\)/)
  assert.ok(existsSync(join(cwd, 'data/log.mark')))
  const yes = answer('yes')
  assert.equal(yes.status, 0)
  assert.deepEqual(readdirSync(join(cwd, 'data')), [])
})

test('clean of a directory that does not exist removes nothing and creates nothing', async (t) => {
  const cwd = temporaryDirectory(t)
  const { code, stdout } = await runMillrace(['clean'], { cwd })
  assert.equal(code, 0)
  assert.match(stdout, /^Nothing to remove: /)
  assert.deepEqual(readdirSync(cwd), [])
})

test('clean removes exactly the keys of its prefix from Redis, and none while a worker is alive there', async (t) => {
  const redis = await RedisServer.create()
  t.after(() => redis.destroy())
  const cwd = temporaryDirectory(t)
  const settings = { MILLRACE_REDIS_URL: redis.url, MILLRACE_POSTGRES_URL: 'postgres://nobody@127.0.0.1:1/none' }
  for (const key of ['others', 'millrac', 'millraces:topics', 'x:millrace:topics']) await redis.command('SET', key, '1')
  const { child, ended } = startMillrace(t, ['start'], { cwd, env: { ...env, ...settings } })
  while (!existsSync(join(cwd, 'data/addresses.json'))) await sleep(20)

  const inUse = await runMillrace(['clean', '--yes'], { cwd, env: settings })
  child.kill('SIGTERM')
  await ended
  const asked = await runMillrace(['clean'], { cwd, env: settings })
  const confirmed = await runMillrace(['clean', '--yes', '--output', 'json'], { cwd, env: settings })
  const again = await runMillrace(['clean', '--yes'], { cwd, env: settings })

  assert.match(inUse.stderr, /in use by \d+ process(es)?: stop them first/)
  assert.match(asked.stderr, /stdin is not a terminal; add --yes/)
  assert.ok(JSON.parse(confirmed.stdout).removed_keys > 3, confirmed.stdout)
  assert.match(again.stdout, /Nothing to remove: Redis has no keys that begin with "millrace:"/)
  assert.match(await redis.command('DBSIZE'), /^:4\r\n/, 'what is not ours stays')
})
