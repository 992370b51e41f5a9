import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { startMillrace } from '../../src/cli/run-millrace.test-support.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'

test('millrace produce says that it waits for room, and goes on when there is some', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_MAX_WAITING_EVENTS: '1000' } })
  const { administration } = clientOf(t, server)
  const landing = { topic: 'events', group: 'landing' }
  await administration.pauseGroup(landing, '')
  const { child, ended } = startMillrace(t, ['produce', '2000'], {
    cwd: server.dataDir,
    env: { MILLRACE_ADDRESS: server.grpc },
  })
  const [note] = await once(child.stderr!, 'data')
  assert.equal(note, 'nothing was accepted for 5 s: the server waits for room; "millrace status" says why\n')
  await administration.resumeGroup(landing)
  const { code, stdout } = await ended
  assert.equal(code, 0)
  assert.match(stdout, /^accepted 2000, dropped 0, rejected 0/)
})
