import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../../../test/support/eventually.ts'
import { RedisServer } from '../../../../test/support/redis-server.ts'
import { loadClientFactory, NodeConnection } from './node-connection.ts'

test('a connection that is closed while its socket opens leaves nothing open', async (t) => {
  const redis = await RedisServer.create()
  t.after(() => redis.destroy())
  const received = async () =>
    Number(/total_connections_received:(\d+)/.exec(String(await redis.command('INFO', 'stats')))?.[1])
  const clients = async () =>
    String(await redis.command('CLIENT', 'LIST'))
      .trim()
      .split('\n').length
  const [receivedBefore, clientsBefore] = [await received(), await clients()]
  const makeClient = await loadClientFactory()

  new NodeConnection({ makeClient, address: { host: '127.0.0.1', port: redis.port }, maxReplyMs: 60_000 }).close()

  await eventually(async () => assert.ok((await received()) > receivedBefore, 'the socket has opened'))
  await eventually(async () => assert.equal(await clients(), clientsBefore))
})
