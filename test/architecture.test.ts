import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type SourceFile, violations } from './architecture-rules.ts'

const source = fileURLToPath(new URL('../src', import.meta.url))

test('the source obeys the levels, the homes of the libraries and the rules about state', () => {
  const files = globSync('**/*.ts', { cwd: source }).map((path) => ({
    path,
    text: readFileSync(join(source, path), 'utf8'),
  }))
  assert.ok(files.length > 20)
  assert.deepEqual(violations(files), [])
})

/** The violations in these files: path and text in turn. */
const judge = (files: Record<string, string>) =>
  violations(Object.entries(files).map(([path, text]): SourceFile => ({ path, text })))

test('a file may import lower levels and its own folder', () => {
  const files = {
    'ingest/ingest.ts':
      "import type { EventLog } from '../event-log/event-log.ts'\nimport { slice } from './slice.ts'\n",
    'ingest/slice.ts': "import { RecordBatch } from '../event/record-batch.ts'\nimport { join } from 'node:path'\n",
    'event/record-batch.ts': "import { limits } from './event.ts'\n",
    'landing/landing.ts': "import type { Handler } from '../workers/handler.ts'\n",
  }
  assert.deepEqual(judge(files), [])
})

test('an import of a higher level is found in every form', () => {
  const forms = [
    "import { Core } from '../server/core.ts'",
    "import type { Core } from '../server/core.ts'",
    "import {\n  Core,\n  other,\n} from '../server/core.ts'",
    "export { Core } from '../server/core.ts'",
    "export * from '../server/core.ts'",
    "import '../server/core.ts'",
    "const { Core } = await import('../server/core.ts')",
    "let core: import('../server/core.ts').Core",
    "new Worker(new URL('../server/core.ts', import.meta.url))",
    "  threadScript('../server/core', import.meta.url)",
  ]
  for (const form of forms) {
    const found = judge({ 'ingest/ingest.ts': `${form}\n` })
    assert.ok(found.includes('ingest/ingest.ts (level 3) imports server/core.ts (level 5)'), `${form}: ${found}`)
  }
})

test('folders of the same level do not import one another', () => {
  assert.deepEqual(judge({ 'ingest/a.ts': "import '../workers/b.ts'" }), [
    'ingest/a.ts (level 3) imports workers/b.ts (level 3)',
  ])
  assert.deepEqual(judge({ 'workers/a.ts': "import '../landing/b.ts'" }), [
    'workers/a.ts (level 3) imports landing/b.ts (level 3)',
  ])
  assert.deepEqual(judge({ 'api/http/a.ts': "import '../../server/core.ts'" }), [
    'api/http/a.ts (level 4) imports server/core.ts (level 5)',
  ])
})

test('the client imports the pipeline and nothing below it', () => {
  assert.deepEqual(judge({ 'client/connect.ts': "import '../pipeline/pipeline.ts'\nimport '../event/event.ts'\n" }), [])
  assert.deepEqual(
    judge({ 'client/connect.ts': "import '../event-log/event-log.ts'\nimport '../ingest/ingest.ts'\n" }),
    [
      'client/connect.ts (level 4) imports event-log/event-log.ts (level 2)',
      'client/connect.ts (level 4) imports ingest/ingest.ts (level 3)',
    ],
  )
})

test('only the file that opens a driver imports it', () => {
  assert.deepEqual(judge({ 'event-log/open-event-log.ts': "import './embedded/embedded-event-log.ts'" }), [])
  assert.deepEqual(judge({ 'server/server.ts': "import '../store/sqlite/sqlite-store.ts'" }), [
    'server/server.ts imports store/sqlite/sqlite-store.ts: only store/open-store.ts names this driver',
  ])
  assert.equal(judge({ 'store/open-store.ts': "import '../event-log/embedded/x.ts'" }).length, 1)
})

test('generated code stays in wire/, api/ and client/', () => {
  assert.deepEqual(judge({ 'wire/status.ts': "import '../gen/millrace/v1/event_pb.ts'" }), [])
  assert.match(
    judge({ 'server/core.ts': "import '../gen/millrace/v1/event_pb.ts'" })[0] ?? '',
    /^server\/core\.ts imports gen\/.*belongs into/,
  )
})

test('every library has a home and is imported only there', () => {
  assert.deepEqual(
    judge({ 'api/http/a.ts': "import fastify from 'fastify'", 'lib/sqlite/a.ts': "import 'node:sqlite'" }),
    [],
  )
  assert.deepEqual(judge({ 'server/core.ts': "import fastify from 'fastify'" }), [
    'server/core.ts imports fastify: its home is api/http/',
  ])
  assert.equal(judge({ 'api/http/a.ts': "import { Server } from '@grpc/grpc-js'" }).length, 1)
  assert.equal(judge({ 'ingest/a.ts': "import { create } from '@bufbuild/protobuf/wkt'" }).length, 1)
  assert.equal(judge({ 'server/core.ts': "import { DatabaseSync } from 'node:sqlite'" }).length, 1)
  assert.deepEqual(judge({ 'lib/a.ts': "import lodash from 'lodash'" }), [
    'lib/a.ts imports lodash, which has no home in the table',
  ])
})

test('a cycle of files is found and shown', () => {
  const files = {
    'lib/a.ts': "import './b.ts'",
    'lib/b.ts': "import type { C } from './c.ts'",
    'lib/c.ts': "import './a.ts'",
  }
  assert.deepEqual(judge(files), ['lib/a.ts -> lib/b.ts -> lib/c.ts -> lib/a.ts is a cycle'])
})

test('a file outside the table and an import of a test are found', () => {
  assert.deepEqual(judge({ 'utils/a.ts': '' }), ['utils/a.ts has no place in the table of levels'])
  assert.equal(judge({ 'lib/a.ts': "import './b.test.ts'" }).length, 1)
  assert.equal(judge({ 'lib/a.ts': "import './b.test-support.ts'" }).length, 1)
  assert.equal(judge({ 'lib/a.ts': "import '../../test/support/events.ts'" }).length, 1)
})

test('state that two servers would share is found', () => {
  assert.deepEqual(judge({ 'lib/a.ts': 'let count = 0\nexport let other = 1\n' }), [
    'lib/a.ts has the module-level variable count',
    'lib/a.ts has the module-level variable other',
  ])
  assert.deepEqual(judge({ 'lib/a.ts': 'export function f() {\n  let count = 0\n}\n' }), [])
})

test('below the composition root no file reads the environment or listens to the process', () => {
  const text = "const home = process.env.HOME\nprocess.once('SIGTERM', stop)\n"
  assert.deepEqual(judge({ 'server/core.ts': text }), [
    'server/core.ts listens to the process',
    'server/core.ts reads process.env',
  ])
  assert.deepEqual(judge({ 'cli/start.ts': text }), [])
  assert.deepEqual(judge({ 'server/core.ts': '// process.env is read by the caller\n/** process.on( */\n' }), [])
})

test('the clock may be read in a function, but not at import', () => {
  const reading = [
    'const started = Date.now()',
    'export const started = new Date()',
    'const state = {\n  at: Date.now(),\n}',
    'class Clock {\n  static started = Date.now()\n}',
  ]
  for (const text of reading) {
    assert.deepEqual(
      judge({ 'server/core.ts': `${text}\n` }),
      ['server/core.ts reads the clock when it is imported'],
      text,
    )
  }
  const handedIn = [
    'const now = () => Date.now()',
    'export function now(): number {\n  return Date.now()\n}',
    'class Clock {\n  now(): number {\n    return Date.now()\n  }\n}',
    'export const clock = {\n  now(): number {\n    return Date.now()\n  },\n}',
  ]
  for (const text of handedIn) assert.deepEqual(judge({ 'server/core.ts': `${text}\n` }), [], text)
})
