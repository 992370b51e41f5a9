// A topic whose partitions are picked by an attribute: a tenant that fills its partition harms nobody else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from '../../src/lib/crc32c.ts'
import { postJson } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { queryStore } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const partitions = 8
const limit = 1000
const maxTurnEvents = 100

const partitionOf = (tenant: string) => crc32c(Buffer.from(tenant)) % partitions

test('a tenant with a full partition is refused alone, and delays another one by no more than a turn', async (t) => {
  const dataDir = tempDirectory(t)
  const topics = [`jobs:${partitions}:attributes.tenant`]
  const env = { MILLRACE_MAX_WAITING_EVENTS: String(limit), MILLRACE_LANDING_MAX_EVENTS: String(maxTurnEvents) }
  const ingest = await startInProcess(t, { dataDir, topics, env: { ...env, MILLRACE_ROLES: 'ingest' } })
  const publish = async (tenant: string, count: number) => {
    const events = Array.from({ length: count }, () => ({ type: 'job', attributes: { tenant } }))
    return (await postJson(ingest.http, events, { query: 'topic=jobs' })).body
  }
  const [noisy, quiet] = ['noisy', 'quiet']
  assert.notEqual(partitionOf(noisy), partitionOf(quiet), 'the test needs two partitions')

  let accepted = 0
  for (let body = await publish(noisy, 50); body.code === undefined; body = await publish(noisy, 50))
    accepted += body.accepted
  assert.ok(accepted > limit / 2, `${accepted} were accepted`)
  assert.equal((await publish(noisy, 50)).code, 'backlogged')
  assert.equal((await publish(quiet, 20)).accepted, 20)
  await ingest.stop()

  await drained(await startInProcess(t, { dataDir, topics, env }))
  const landed = queryStore(dataDir, "SELECT attributes ->> 'tenant' AS tenant FROM events ORDER BY rowid")
  assert.equal(landed.length, accepted + 20)
  const last = landed.findLastIndex(({ tenant }) => tenant === quiet)
  assert.ok(last < 2 * maxTurnEvents, `the last event of the quiet tenant was row ${last}`)
})
