// A Cluster refuses a script whose keys are in different slots. The test asks a real server for the slot of each key.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createClient } from 'redis'
import { lanes } from '../../src/event/event.ts'
import { slotOf } from '../../src/event-log/redis/connection/hash-slot.ts'
import { RedisKeys } from '../../src/event-log/redis/redis-keys.ts'
import { cleanup } from '../support/cleanup.ts'
import { RedisServer } from '../support/redis-server.ts'

const scripts = new URL('../../src/event-log/redis/scripts/', import.meta.url)

const names = ['orders', '', ' ', '{', '}', '{}', '}{', 'a{b}c', '%7B', 'a/1', 'ü🙂', 'x'.repeat(255)]

test('all keys of a script are in one slot, whatever the names of topics, groups and producers', async (t) => {
  const server = await RedisServer.create({ settings: [['cluster-enabled', 'yes']] })
  cleanup(t, () => server.destroy())
  const client = await createClient({ url: server.url }).connect()
  cleanup(t, () => client.destroy())
  const slotsOf = (keys: readonly string[]) =>
    Promise.all(keys.map((key) => client.sendCommand<number>(['CLUSTER', 'KEYSLOT', key])))

  const keys = new RedisKeys('millrace')
  for (const topic of names) {
    for (const group of names) {
      const partition = keys.partition(topic, 3)
      const sets = [
        partition.forAppend(),
        partition.forSettle(group),
        partition.forDrop(group),
        partition.forReopen(group, 'low'),
        partition.forHeldKeys(group, 'low'),
        partition.forMake(),
      ]
      // append.lua derives the name of a producer's window from this key.
      const windows = lanes.map((lane) => `${partition.forAppend()[6]}${lane}/${group}`)
      assert.match(windows[0]!, /:producer:high\//)
      const ofRequests = [partition.request(group), partition.inbox('inbox-1')]
      const all = [...new Set([...sets.flat(), ...partition.streams, ...windows, ...ofRequests])]
      const slots = await slotsOf(all)
      assert.deepEqual([...new Set(slots)], [slots[0]], `${topic} ${group}`)
      assert.deepEqual(all.map(slotOf), slots)
    }
  }
  const single = [keys.topics, keys.probe, keys.members]
  assert.deepEqual(single.map(slotOf), await slotsOf(single))
})

test('scripts derive key names only from keys that they were given', () => {
  const files = readdirSync(scripts, { recursive: true }).map(String)
  for (const name of files.filter((file) => file.endsWith('.lua'))) {
    const text = readFileSync(new URL(name, scripts), 'utf8')
    const calls = [...text.matchAll(/redis\.call\(\s*'[A-Z]+',\s*(?:'[A-Z]+',\s*)?([^,)]+)/g)].map(([, key]) =>
      key!.trim(),
    )
    const foreign = calls.filter((key) => /^['"]/.test(key))
    assert.deepEqual(foreign, [], name)
  }
})
