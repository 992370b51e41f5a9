import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../client/connect.ts'
import type { RequestAnswer } from '../../pipeline/requests.ts'
import { MemoryPipeline } from '../memory-pipeline.test-support.ts'
import { startTestServer } from './grpc-client.test-support.ts'

test('a call for a reply waits a minute at most, and the client calls again for the rest', async (t) => {
  const pipeline = new MemoryPipeline()
  const waits: number[] = []
  const reply = { data: new Uint8Array(0), dataContentType: '', attempts: 1 }
  const getReply = async ({ requestId, waitMs }: { requestId: string; waitMs: number }): Promise<RequestAnswer> => {
    waits.push(waitMs)
    return waits.length === 3 ? { requestId, stage: 'replied', reply } : { requestId, stage: 'started', reply: null }
  }
  pipeline.requests = { ...pipeline.requests, getReply }
  const { address } = await startTestServer(t, { pipeline })
  const client = connect({ addresses: [address] })
  t.after(() => client.close())

  assert.equal((await client.getReply('a', { waitMs: 200_000, deadlineMs: 201_000 })).stage, 'replied')
  assert.deepEqual(waits, [60_000, 60_000, 60_000])
  waits.length = 0
  assert.equal((await client.getReply('a', { waitMs: 30_000, deadlineMs: 31_000 })).stage, 'started')
  assert.deepEqual(waits, [30_000])
})
