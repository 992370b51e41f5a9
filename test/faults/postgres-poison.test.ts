import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { appendPoisonBatch } from '../support/append-poison.ts'
import { eventually } from '../support/eventually.ts'
import { listEvents } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import type { Postgres } from '../support/postgres-server.ts'
import { runCommand } from '../support/run-command.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

let postgres: Postgres
before(async () => {
  postgres = await sharedPostgres()
})

test('fault P1: three of 1,000 events are poison: 997 land, three become dead letters by SQLSTATE, an edited one lands, and one that explodes as text is read without its data', async (t) => {
  const url = await postgres.createDatabase()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  await server.stop()
  await appendPoisonBatch(server.dataDir)
  await server.start()
  const countRows = async () => (await postgres.query('SELECT count(*)::int AS rows FROM events', [], url))[0]!.rows
  const command = (...words: string[]) => runCommand(words, { dataDir: server.dataDir })

  const [line] = await drained(server, 30_000)
  assert.partialDeepStrictEqual(line, { accepted: 1000, landed: 997, dead: 3, balanced: true })
  assert.equal(await countRows(), 997)
  await eventually(async () => {
    const letters = await postgres.query('SELECT code, message FROM dead_letters ORDER BY message', [], url)
    assert.deepEqual(
      letters.map(({ code, message }) => [code, String(message).slice(0, 5)]),
      [
        ['refused_by_store', '22003'],
        ['refused_by_store', '22P05'],
        ['refused_by_store', '54001'],
      ],
    )
  })
  const omitted = /^the data has 4100 numbers of more than 400 digits written out/
  const { events } = await listEvents(server.http, 'limit=1000')
  const [exploding, ...others] = events.filter(({ data }) => data === undefined)
  assert.deepEqual([exploding?.id, events.length, others.length], ['exploding', 997, 0])
  assert.match(exploding!.data_omitted!, omitted)
  const landed = JSON.parse((await command('journey', 'exploding', '--source', '/poison', '--output', 'json')).stdout)
  assert.match(landed.event.data_omitted, omitted)

  const dead = JSON.parse((await command('journey', 'poison-deep', '--source', '/poison', '--output', 'json')).stdout)
  assert.equal(dead.journey.state, 'dead')

  const [letter] = await postgres.query(`SELECT dead_letter_id FROM dead_letters WHERE message LIKE '22003%'`, [], url)
  const edited = await runCommand(['dead-letters', 'redrive', String(letter!.dead_letter_id), '--edit'], {
    dataDir: server.dataDir,
    env: { EDITOR: 'sed -i s/1e400000/14/' },
  })
  assert.match(edited.stdout, /^redriven 1 of 1, failed again 0/, edited.stderr)
  assert.equal(await countRows(), 998)
  const [row] = await postgres.query(`SELECT id, data FROM events WHERE id LIKE 'poison%'`, [], url)
  assert.deepEqual(row, { id: 'poison-huge', data: { n: 14 } })
  const journey = await command('journey', 'poison-huge', '--source', '/poison')
  assert.match(journey.stdout, /: landed\n.*accepted.*failed.*22003.*dead.*redriven.*landed/s)
})
