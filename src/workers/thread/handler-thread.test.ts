import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const urlOf = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)

/** Runs a program in a process that may start threads until `drop()`, with an isolated handler that ends its thread. */
async function runWithThread(program: string): Promise<unknown> {
  const url = `data:text/javascript,${encodeURIComponent(`
    import { defineHandler } from ${urlOf('../define-handler.ts')}
    export default defineHandler({ group: 'g', isolate: true, handle: () => process.exit(9) })`)}`
  const whole = `
    import handler from ${JSON.stringify(url)}
    import { HandlerThread } from ${urlOf('handler-thread.ts')}
    import { createLogger } from ${urlOf('../../telemetry/logger.ts')}
    import { createMetrics } from ${urlOf('../../telemetry/metrics.ts')}
    const thread = new HandlerThread({
      ...{ handler, module: { url: ${JSON.stringify(url)}, exportName: 'default' }, metrics: createMetrics(), filesDir: '' },
      ...{ logger: createLogger({ level: 'fatal', version: '0' }), now: Date.now, random: Math.random },
      ...{ monotonicNow: () => performance.now(), publish: async () => {}, onOutageEnd: () => {} },
    })
    const begin = () => thread.begin([], context = { attempt: 1, abort: new AbortController() })
    const drop = () => process.permission.drop('worker')
    let context
    ${program}
    process.exit()`
  const flags = ['--permission', '--allow-fs-read=*', '--allow-worker', '--allow-addons', '--no-warnings']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, '-e', whole])
  return JSON.parse(stdout)
}

test('a thread that the process cannot start is an outage: no call begins, and none fails for it', async () => {
  const seen = await runWithThread(`
    await thread.open()
    drop()
    const hasBegun = await begin()
    await thread.finish([], context)
    const { code, reason } = thread.outage
    console.log(JSON.stringify({ hasBegun, code, reason, beginsAgain: await begin() }))`)
  const access = 'Access to this API has been restricted. Use --allow-worker to manage permissions.'
  assert.deepEqual(seen, {
    ...{ hasBegun: true, beginsAgain: false, code: 'unavailable' },
    reason: `the thread of the handler cannot start: Error: ${access}`,
  })
})

test('when the process cannot start a first thread the handler is refused', async () => {
  const error = await runWithThread(`
    drop()
    await thread.open().catch(({ code, message }) => console.log(JSON.stringify({ code, message })))`)
  const { code, message } = error as Record<string, string>
  assert.equal(code, 'failed_precondition')
  assert.match(message!, /^the handler of group g cannot run in a thread: .*: Error: Access to this API/)
})
