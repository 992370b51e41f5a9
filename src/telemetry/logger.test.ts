import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough, Writable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../errors.ts'
import { createLogger, type LoggerOptions } from './logger.ts'

function capture(options: Partial<LoggerOptions> = {}) {
  const stream = new PassThrough()
  const logger = createLogger({ level: 'info', version: '1.2.3', destination: stream, ...options })
  const text = () => String(stream.read() ?? '')
  const lines = () =>
    text()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  return { logger, text, lines }
}

/** Runs a script with a `logger` that writes to stderr; the script prints its result to stdout. */
function runScript(script: string, onStart: (child: ReturnType<typeof spawn>) => void) {
  const logger = JSON.stringify(fileURLToPath(new URL('./logger.ts', import.meta.url)))
  const source = `
    const { createLogger } = await import(${logger})
    const logger = createLogger({ level: 'info', version: 'x' })
    ${script}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: 'pipe' })
  onStart(child)
  return child
}

test('a line is JSON with level, time, service, version, fields and message', () => {
  const { logger, lines } = capture()
  logger.child({ request_id: 'r-1' }).warn({ topic: 'orders' }, 'slow')
  const [{ time, ...line }] = lines()
  assert.deepEqual(line, {
    level: 'warn',
    service: 'millrace',
    version: '1.2.3',
    request_id: 'r-1',
    topic: 'orders',
    message: 'slow',
  })
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000)
})

test('lines below the level are not written', () => {
  const { logger, lines } = capture({ level: 'warn' })
  logger.info('quiet')
  logger.error('loud')
  assert.deepEqual(
    lines().map(({ message }) => message),
    ['loud'],
  )
})

test('an error is written with its code, its field and its cause', () => {
  const { logger, lines } = capture()
  const cause = new Error('SQLITE_FULL')
  logger.error({ error: new MillraceError('unavailable', 'no disk', { field: 'data_dir', cause }) }, 'append failed')
  const [{ error }] = lines()
  assert.deepEqual(
    [error.type, error.code, error.field, error.message],
    ['MillraceError', 'unavailable', 'data_dir', 'no disk'],
  )
  assert.equal(error.cause.message, 'SQLITE_FULL')
  assert.match(error.stack, /logger\.test\.ts/)
})

test('logging ends for an error that is its own cause and for circular fields', () => {
  const { logger, lines } = capture()
  const error = new Error('round')
  error.cause = error
  const fields: { self?: object } = {}
  fields.self = fields
  logger.error({ error, fields }, 'circle')
  assert.equal(lines()[0].message, 'circle')
})

test('secrets are redacted in fields, in headers and in URLs', () => {
  const { logger, text } = capture()
  const secret = 'hunter2'
  logger.child({ token: secret }).info({ password: secret, headers: { authorization: secret } }, 'a')
  logger.info({ request: { headers: { cookie: secret, 'set-cookie': [secret] } }, api_key: secret }, 'b')
  logger.info(`cannot reach redis://default:${secret}@host`)
  const written = text()
  assert.ok(!written.includes(secret), written)
  assert.equal(written.match(/\[redacted\]/g)?.length, 7)
})

test('on a terminal lines are readable text, and a message cannot send control sequences or forge a line', () => {
  const { logger, text } = capture({ pretty: true })
  logger.info({ file_name: '\x1b[2J\x9b' }, 'one\nFATAL: forged')
  logger.error({ error: new Error('first\nsecond') }, 'failed')
  const written = text()
  assert.match(written, /INFO: one\\u000aFATAL: forged\n/)
  assert.doesNotMatch(written, /(?!\n)\p{Cc}/u)
  assert.match(written, /\n\s+at .*logger\.test\.ts/)
})

test('lines that exceed the buffer are counted, not kept in memory', async () => {
  const release: (() => void)[] = []
  const stuck = new Writable({ write: (_chunk, _encoding, done) => release.push(done) })
  const logger = createLogger({ level: 'info', version: 'x', destination: stuck })
  const field = 'x'.repeat(1000)
  for (let line = 0; line < 5000; line++) logger.info({ field }, 'fill')
  assert.ok(stuck.writableLength < 1.1 * 1024 * 1024)
  assert.ok(logger.linesLost > 3500 && logger.linesLost < 4500, String(logger.linesLost))
})

test('when the reader of stderr closes, the process continues and counts the lost lines', async () => {
  const child = runScript(
    `await new Promise((resolve) => process.stdin.once('end', resolve).resume())
     for (let line = 0; line < 10; line++) { logger.info('unread line'); await new Promise(setImmediate) }
     console.log(logger.linesLost)`,
    ({ stdin, stderr }) => stderr?.once('close', () => stdin?.end()).destroy(),
  )
  let lost = ''
  child.stdout?.on('data', (chunk) => {
    lost += chunk
  })
  const [code] = await once(child, 'close')
  assert.equal(code, 0)
  assert.equal(lost.trim(), '10')
})

test('a stderr pipe that is not read blocks neither the work nor the exit', async () => {
  const child = runScript(
    `for (let line = 0; line < 3000; line++) logger.info({ field: 'x'.repeat(1000) }, 'fill')
     console.log(logger.linesLost > 0 ? 'lines lost' : 'all kept')
     process.exit(0)`,
    () => {},
  )
  let said = ''
  child.stdout?.on('data', (chunk) => {
    said += chunk
  })
  const [code] = await once(child, 'exit')
  child.stderr?.destroy()
  assert.equal(code, 0)
  assert.equal(said.trim(), 'lines lost')
})

test('a line logged right before process.exit is written', async () => {
  const child = runScript(`logger.fatal('the last words'); process.exit(1)`, () => {})
  let written = ''
  child.stderr?.on('data', (chunk) => {
    written += chunk
  })
  const [code] = await once(child, 'close')
  assert.equal(code, 1)
  assert.match(written, /the last words/)
})
