import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { order, orders } from '../support/events.ts'
import { encodePublish, grpcClient } from '../support/grpc-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { readLogEntries } from '../support/log-file.ts'
import { publish } from '../support/publish.ts'
import { runCommandProcess } from '../support/run-command.ts'
import { queryStore, readRows } from '../support/store-file.ts'
import { drained } from '../support/tally.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** The SHA-256 of every file of a data directory that no server is using. */
function contents(dataDir: string): Record<string, string> {
  const hashOf = (file: string) =>
    createHash('sha256')
      .update(readFileSync(join(dataDir, file)))
      .digest('hex')
  const entries = readdirSync(dataDir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile())
  const files = entries.map(({ parentPath, name }) => relative(dataDir, join(parentPath, name)))
  return Object.fromEntries(files.map((file) => [file, hashOf(file)]))
}

const newer = {
  'log.db': 'PRAGMA user_version = 999',
  'store.db': `INSERT INTO migrations SELECT 999, 'later', checksum, applied_at FROM migrations LIMIT 1`,
}

for (const [file, change] of Object.entries(newer)) {
  test(`fault U8: a ${file} of a newer version is refused with a clear error, and no file is changed`, async (t) => {
    const dataDir = tempDirectory(t)
    const server = await startInProcess(t, { dataDir })
    await publish(server, 'events', orders(3))
    await drained(server)
    await server.stop()
    const database = new DatabaseSync(join(dataDir, file))
    database.exec(change)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
    const before = contents(dataDir)

    const result = await runCommandProcess(t, ['start'], { dataDir })
    assert.equal(result.code, 1, result.stderr)
    assert.match(result.stderr, /newer/)
    assert.ok(result.stderr.includes(join(dataDir, file)), result.stderr)
    assert.deepEqual(contents(dataDir), before, 'files were changed')
  })
}

test('fault U9: fields unknown to this version stay in the stored bytes', async (t) => {
  const server = await startInProcess(t)
  const grpc = grpcClient(t, server)
  const known = encodePublish({ events: [order(1, { id: 'from-the-future', key: 'k' })] })
  // Field 99 of the event, length-delimited, and field 100, a varint; then field 77 of the request.
  const unknown = Buffer.concat([Buffer.from([0x9a, 0x06, 6]), Buffer.from('future'), Buffer.from([0xa0, 0x06, 42])])
  const event = Buffer.concat([known.subarray(2), unknown])
  const message = Buffer.concat([Buffer.of(0x0a, event.length), event, Buffer.from([0xea, 0x04, 1, 0x78])])
  assert.ok(event.length < 128 && known[1] === known.length - 2)
  assert.equal((await grpc.publishBytes(message)).accepted, 1n)
  await drained(server)
  await server.stop()
  assert.deepEqual(
    readRows(server.dataDir).map((row) => row.id),
    ['from-the-future'],
  )
  const [entry] = readLogEntries(server.dataDir, 'events')
  assert.deepEqual(Buffer.from(entry?.batch ?? []), Buffer.concat([Buffer.of(0x0a, event.length), event]))
})

test('fault P16: data keeps every byte: large numbers, exponents, repeated keys, emoji, empty data, and bytes that are not text', async (t) => {
  const server = await startInProcess(t)
  const grpc = grpcClient(t, server)
  const texts = ['12345678901234567890', '1e-7', '1e399', '{"a":1,"a":2}', '"\\ud83d\\ude00 😀 \u2028"', ' [ ] ', '-0']
  const blobs = [Buffer.from([0xff, 0xfe, 0]), Buffer.from('{"not":"json'), Buffer.alloc(70_000, 7)]
  await grpc.publish({
    events: [
      ...texts.map((text, index) => order(index, { id: `text-${index}`, data: Buffer.from(text) })),
      ...blobs.map((data, index) => order(index, { id: `blob-${index}`, data, dataContentType: 'application/x-raw' })),
      order(0, { id: 'nothing', data: Buffer.alloc(0) }),
    ],
  })
  await drained(server)
  const rows = new Map(
    queryStore(server.dataDir, 'SELECT id, CAST(data AS BLOB) AS data, data_bytes FROM events').map((row) => [
      row.id,
      row,
    ]),
  )
  for (const [index, text] of texts.entries()) {
    assert.equal(Buffer.from(rows.get(`text-${index}`)?.data as Uint8Array).toString('utf8'), text)
  }
  for (const [index, blob] of blobs.entries()) {
    assert.deepEqual(Buffer.from(rows.get(`blob-${index}`)?.data_bytes as Uint8Array), blob)
  }
  assert.deepEqual([rows.get('nothing')?.data, rows.get('nothing')?.data_bytes], [null, null])
})
