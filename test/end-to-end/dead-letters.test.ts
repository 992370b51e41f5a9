// Dead letters and journeys in a whole server, with every log and database.

import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Client } from 'pg'
import { EventIdGenerator } from '../../src/event/event.ts'
import type { EventInput } from '../../src/event/event-input.ts'
import { type Backend, backends, type Home, inLongRun } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { getStatus } from '../support/http-client.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { clientOf } from '../support/publish.ts'
import { runCommand } from '../support/run-command.ts'
import { sharedPostgres } from '../support/shared-services.ts'
import { drained } from '../support/tally.ts'

const ids = new EventIdGenerator()

/** A server whose table refuses events of type `poison` while their data does not contain "ok". */
interface Pickiest {
  readonly server: InProcessServer
  readonly home: Home
  /** Accepts every event from now on. */
  forgive(): Promise<void>
}

async function pickiest(t: TestContext, backend: Backend): Promise<Pickiest> {
  const home = await backend.home(t)
  // The tests check positions, so there is one partition, also on a Cluster.
  const server = await startInProcess(t, { ...home, env: { ...home.env, MILLRACE_TOPICS: 'events:1' } })
  if (home.postgresUrl === null) {
    await home.execute(`CREATE TRIGGER picky BEFORE INSERT ON events WHEN NEW.type = 'poison' AND NEW.data NOT LIKE '%ok%'
      BEGIN SELECT RAISE(ABORT, 'this table takes no poison'); END`)
    return { home, server, forgive: () => home.execute('DROP TRIGGER picky') }
  }
  await home.execute(`ALTER TABLE events ADD CONSTRAINT picky CHECK (type <> 'poison' OR data::text LIKE '%ok%')`)
  return { home, server, forgive: () => home.execute('ALTER TABLE events DROP CONSTRAINT picky') }
}

async function publish(t: TestContext, server: InProcessServer, events: readonly EventInput[]): Promise<void> {
  const verdict = await clientOf(t, server).publishEvents(events)
  assert.equal(verdict.accepted, events.length)
}

interface LetterJson {
  readonly dead_letter_id: string
  readonly event_id: string
  readonly type: string
  readonly message: string
  readonly redriven_at: string | null
  readonly redrives: number
}

async function lettersOf(server: InProcessServer, query = ''): Promise<LetterJson[]> {
  const answer = await fetch(`http://${server.http}/v1/dead-letters?${query}`)
  assert.equal(answer.status, 200)
  return ((await answer.json()) as { dead_letters: LetterJson[] }).dead_letters
}

async function waitForLetters(server: InProcessServer, count: number): Promise<LetterJson[]> {
  await eventually(async () => assert.equal((await lettersOf(server)).length, count))
  return lettersOf(server)
}

for (const backend of backends('embedded', ...inLongRun('embedded log, PostgreSQL'), 'redis', 'cluster')) {
  const story = (title: string, body: (t: TestContext, picky: Pickiest) => Promise<void>) =>
    test(`${title} (${backend.name})`, async (t) => body(t, await pickiest(t, backend)))

  story('a dead letter is listed, edited, redriven and lands, and its journey shows every step', async (t, picky) => {
    const { server } = picky
    const command = (...words: string[]) => runCommand(words, { dataDir: server.dataDir })
    const poison = { id: ids.next(), source: '/shop', type: 'poison', key: 'k', data: Buffer.from('{"n": 1.50}') }
    const fine = Array.from({ length: 100 }, () => ({ type: 'fine' }))
    await publish(t, server, [...fine, poison, ...fine])
    const [letter] = await waitForLetters(server, 1)
    assert.equal(letter?.event_id, poison.id)
    assert.match(letter?.message ?? '', picky.home.postgresUrl === null ? /^1811: / : /^23514: /)

    const shown = await command('dead-letters', 'show', letter!.dead_letter_id)
    assert.match(shown.stdout, /data +\{"n": 1\.50\}/)
    const dry = await command('dead-letters', 'redrive', '--type', 'poison', '--dry-run')
    assert.match(dry.stdout, /^1 dead letter would be redriven/)

    const again = await command('dead-letters', 'redrive', '--all', '--output', 'json')
    assert.equal(again.code, 1)
    assert.partialDeepStrictEqual(JSON.parse(again.stdout), { matched: 1, redriven: 1, failed_again: 1 })
    assert.match(again.stderr, /stopped: 1 of 1 events failed again/)
    const [second, first] = await waitForLetters(server, 2)
    assert.deepEqual([first?.redrives, second?.redrives], [1, 1])
    assert.notEqual(first?.redriven_at, null)
    assert.equal(second?.redriven_at, null)

    for (const emptied of [
      { words: ['--edit'], env: { EDITOR: 'truncate -s 0' } },
      { words: ['--edit'], env: { EDITOR: 'echo >' } },
      { words: ['--data', '/dev/null'], env: { EDITOR: 'false' } },
    ]) {
      const { code, stdout, stderr } = await runCommand(
        ['dead-letters', 'redrive', second!.dead_letter_id, ...emptied.words],
        { dataDir: server.dataDir, env: emptied.env },
      )
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, /empty data asks for confirmation.*--yes/)
    }
    const editWith = (editor: string) =>
      runCommand(['dead-letters', 'redrive', second!.dead_letter_id, '--edit'], {
        ...{ dataDir: server.dataDir, env: { EDITOR: editor } },
      })
    assert.match((await editWith('rm')).stderr, /^millrace: the editor "rm" removed the file and nothing was sent/)
    const { stderr: refused } = await editWith('echo {broken >')
    assert.match(refused, /not valid JSON/)
    const [, kept = ''] = /the edited data is kept in (\S+);/.exec(refused) ?? []
    assert.equal(readFileSync(kept, 'utf8'), '{broken\n')
    rmSync(dirname(kept), { recursive: true })
    assert.equal((await lettersOf(server))[0]?.redriven_at, null, 'nothing is sent unasked')

    const edited = await editWith('sed -i s/1.50/1.50,\\"ok\\":true/')
    assert.match(edited.stdout, /^redriven 1 of 1, failed again 0/)
    assert.equal(await picky.home.countRows(), 201)

    const journey = await command('journey', poison.id, '--output', 'json')
    const { event, journey: life } = JSON.parse(journey.stdout)
    assert.match(journey.stdout, /"data":\{"n": 1\.50, ?"ok": ?true\}/)
    assert.deepEqual([event.id, event.key, life.state], [poison.id, 'k', 'landed'])
    assert.deepEqual(
      life.steps.map(({ step }: { step: string }) => step),
      ['accepted', 'failed', 'dead', 'redriven', 'failed', 'dead', 'redriven', 'landed'],
    )
    assert.match(life.steps[0].position, /^events\/0\/normal@\d+:1\d\d$/)
    assert.match((await command('journey', poison.id)).stdout, /: landed\n/)

    const [ledger] = await drained(server, 10_000)
    assert.partialDeepStrictEqual(ledger, { accepted: 201, reopened: 2, landed: 201, dead: 2, balanced: true })
    const deleted = await command('dead-letters', 'delete', '--type', 'poison', '--yes')
    assert.match(deleted.stdout, /^deleted 2 dead letters/)
    assert.deepEqual(await lettersOf(server), [])
  })

  story(
    'a dead letter that its table refuses waits, named in log and status, while those behind it land',
    async (t, { server, home }) => {
      const refuse =
        home.postgresUrl === null
          ? `CREATE TRIGGER curse BEFORE INSERT ON dead_letters WHEN NEW.source = '/cursed'
             BEGIN SELECT RAISE(ABORT, 'violates curse'); END`
          : `ALTER TABLE dead_letters ADD CONSTRAINT curse CHECK (source <> '/cursed')`
      await home.execute(refuse)
      const poison = { type: 'poison', data: Buffer.from('{}') }
      const cursed = { ...poison, id: ids.next(), source: '/cursed' }
      await publish(t, server, [poison, cursed])
      const dead = async () => {
        const { topics, ledger } = await getStatus(server.http)
        const ofTopic = ({ topic }: { topic: string }) => topic === '_dead'
        return { ...ledger.find(ofTopic), state: topics.find(({ name }) => name === '_dead')!.groups[0]!.state }
      }
      await eventually(async () =>
        assert.match((await dead()).state.reason ?? '', /^the database refuses dead letter /),
      )
      await publish(t, server, [poison])
      await waitForLetters(server, 2)

      // A status may be half a second old.
      const { state } = await eventually(async () => {
        const now = await dead()
        assert.partialDeepStrictEqual(now, { waiting: 1, landed: 2, balanced: true })
        assert.equal(now.state.is, 'running')
        assert.notEqual(now.state.reason, null)
        return now
      })
      const [, id] = /dead letter (\S+): \w+: .*curse/.exec(state.reason ?? '') ?? []
      const lines = server.logLines().filter(({ level, message }) => level === 'error' && String(message).includes(id!))
      assert.ok(lines.length > 0)
      const journey = await fetch(`http://${server.http}/v1/events/${cursed.id}?source=/cursed`)
      assert.equal(journey.status, 404)
      assert.match(await journey.text(), /may be among the dead letters that are not stored yet \(1\)/)

      await home.execute(
        home.postgresUrl === null ? 'DROP TRIGGER curse' : 'ALTER TABLE dead_letters DROP CONSTRAINT curse',
      )
      await eventually(async () => assert.equal((await lettersOf(server, 'type=poison')).length, 3), {
        withinMs: 40_000,
        what: 'the retry of the refused letter',
      })
      const letter = (await lettersOf(server)).find(({ dead_letter_id }) => dead_letter_id === id)
      assert.equal(letter?.event_id, cursed.id)
      await eventually(async () =>
        assert.partialDeepStrictEqual(await dead(), { waiting: 0, landed: 3, balanced: true }),
      )
    },
  )

  story(
    'many dead letters are redriven at a given rate once the cause is fixed, and a dead event is found by its id',
    async (t, picky) => {
      const { server } = picky
      const poison = Array.from({ length: 30 }, (_, n) => ({ id: `p-${n}`, type: 'poison', data: { n } }))
      await publish(t, server, poison)
      await waitForLetters(server, 30)
      const causes = await (await fetch(`http://${server.http}/v1/dead-letters?by=cause`)).json()
      assert.partialDeepStrictEqual(causes, {
        causes: [{ type: 'poison', code: 'refused_by_store', dead_letters: 30 }],
      })
      const dead = await (await fetch(`http://${server.http}/v1/events/p-7`)).json()
      assert.partialDeepStrictEqual(dead, { event: { id: 'p-7', data: { n: 7 } }, journey: { state: 'dead' } })

      await picky.forgive()
      const startedAt = performance.now()
      const answer = await fetch(`http://${server.http}/v1/dead-letters/redrive`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"type":"poison","rate":30}',
      })
      assert.deepEqual(await answer.json(), {
        matched: 30,
        redriven: 30,
        skipped: 0,
        failed_again: 0,
        stopped: null,
        next_cursor: null,
      })
      assert.ok(performance.now() - startedAt > 900, 'faster than its rate')
      assert.equal(await picky.home.countRows(`type = 'poison'`), 30)
      assert.deepEqual(await lettersOf(server, 'redriven=false'), [])
      await server.stop()
      await server.start()
      assert.equal((await lettersOf(server)).length, 30)
      const [ledger] = await drained(server, 10_000)
      assert.partialDeepStrictEqual(ledger, { accepted: 30, reopened: 30, landed: 30, dead: 30, balanced: true })
    },
  )

  story(
    'a replay restores rows that the database has lost, and adds no second row for those it has',
    async (t, picky) => {
      const { server } = picky
      await picky.forgive()
      const events = Array.from({ length: 1500 }, (_, n) => ({ type: n % 2 === 0 ? 'even' : 'odd', data: { n } }))
      for (let at = 0; at < events.length; at += 500) await publish(t, server, events.slice(at, at + 500))
      await drained(server, 10_000)
      const replay = async (...words: string[]) => {
        const { stdout } = await runCommand(['replay', '--rate', '100000', '--output', 'json', ...words], server)
        return (JSON.parse(stdout) as { replayed: number }).replayed
      }
      assert.equal(await replay('--since', '1h', '--dry-run'), 1500)
      assert.equal(await replay('--type', 'even'), 750)
      const { epoch } = (await getStatus(server.http)).log
      assert.equal(await replay('--from', `events/0/normal@${epoch}:1321`), 179)
      await drained(server, 10_000)
      assert.equal(await picky.home.countRows(), 1500)
      const [ledger] = await drained(server, 10_000)
      assert.partialDeepStrictEqual(ledger, { accepted: 1500, reopened: 929, landed: 2429, balanced: true })
    },
  )
}

test('a redrive while PostgreSQL is unreachable or refuses its marks reports what it has done, and what is unknown', async (t) => {
  const postgres = await sharedPostgres()
  const url = await postgres.createDatabase()
  const server = await startInProcess(t, { env: { MILLRACE_POSTGRES_URL: url } })
  await postgres.query("ALTER TABLE events ADD CONSTRAINT picky CHECK (type NOT LIKE 'evil%')", [], url)
  const poison = { type: 'evil\u001b[31m' }
  await publish(
    t,
    server,
    Array.from({ length: 3 }, () => poison),
  )
  await waitForLetters(server, 3)
  const listed = await runCommand(['dead-letters', 'list'], { dataDir: server.dataDir })
  assert.match(listed.stdout, /evil\\u001b\[31m/)
  assert.ok(!listed.stdout.includes('\u001b'))

  // The letters can be read and updated, but no event can land, and landed ones cannot be read.
  const holder = new Client({ connectionString: url })
  await holder.connect()
  await holder.query('BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE')
  const redriven = await runCommand(['dead-letters', 'redrive', '--all', '--output', 'json'], {
    dataDir: server.dataDir,
  })
  await holder.end()

  assert.equal(redriven.code, 1)
  const { stopped, ...counts } = JSON.parse(redriven.stdout)
  assert.deepEqual(counts, { matched: 3, redriven: 3, skipped: 0, failed_again: 0 })
  assert.match(stopped, /the outcome of 3 of 3 events is not known yet/)

  // The events of letters that cannot be marked are redriven, not skipped.
  await waitForLetters(server, 6)
  await postgres.query(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'no right to mark' USING ERRCODE = 'insufficient_privilege'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()`,
    [],
    url,
  )
  const unmarked = await runCommand(['dead-letters', 'redrive', '--all', '--output', 'json'], {
    dataDir: server.dataDir,
  })
  const answer = JSON.parse(unmarked.stdout)
  assert.partialDeepStrictEqual(answer, { matched: 3, redriven: 3, skipped: 0 })
  assert.match(answer.stopped, /no right to mark/)
})

test('a command that cannot be executed fails with an error that names the argument', async (t) => {
  const server = await startInProcess(t)
  const command = (...words: string[]) => runCommand(words, { dataDir: server.dataDir })
  const expect = async (words: string[], code: number, stderr: RegExp) => {
    const ended = await command(...words)
    assert.equal(ended.code, code, words.join(' '))
    assert.match(ended.stderr, stderr)
    assert.equal(ended.stdout, '', words.join(' '))
  }
  await expect(['dead-letters', 'redrive'], 2, /--all/)
  await expect(['dead-letters', 'redrive', '--all', '--edit'], 2, /exactly one/)
  await expect(['dead-letters', 'show', 'x'], 1, /"x" is not the id of a dead letter/)
  await expect(['dead-letters', 'show', ids.next()], 1, /there is no dead letter/)
  await expect(['dead-letters', 'redrive', ids.next()], 1, /there is no dead letter/)
  await expect(['dead-letters', 'list', '--since', 'yesterday'], 2, /--since "yesterday".*10m/)
  await expect(['dead-letters', 'redrive', '--all', '--type', 'a'], 2, /--all cannot be combined/)
  await expect(['dead-letters', 'list', '--type', ''], 2, /--type is empty/)
  await expect(['dead-letters', 'delete', ids.next(), '--yes'], 1, /there is no dead letter/)
  await expect(['journey', 'nobody'], 1, /event "nobody" has neither landed nor died, and no events are waiting/)
  await expect(['replay', '--topic', 'orders'], 1, /there is no topic "orders"/)
  await expect(['replay', '--into', 'nobody'], 1, /there is no group "nobody"/)
  await expect(['replay', '--from', 'x'], 1, /from is "x".*events\/0\/normal@1:5000/)

  const post = async (body: string, type = 'application/json') => {
    const answer = await fetch(`http://${server.http}/v1/dead-letters/redrive`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    })
    const { code, field } = (await answer.json()) as { code: string; field: string }
    return [answer.status, code, field]
  }
  assert.deepEqual(await post('{}', 'text/plain'), [415, 'unsupported_media_type', 'content-type'])
  for (const [body, field] of [
    ['', 'body'],
    ['[]', 'body'],
    ['{"type":1}', 'type'],
    ['{"types":"a"}', 'types'],
    ['{"rate":0}', 'rate'],
    ['{"rate":"1"}', 'rate'],
    ['{"rate":null}', 'rate'],
    ['{"topic":""}', 'topic'],
    ['{"data_content_type":""}', 'data_content_type'],
    ['{"since":"x"}', 'since'],
    ['{"dry_run":"yes"}', 'dry_run'],
    ['{"data":1}', 'data'],
    ['{"data":1,"data_base64":"eA=="}', 'data'],
    ['{"data_base64":"?"}', 'data_base64'],
    ['{"dead_letter_ids":"x"}', 'dead_letter_ids'],
    ['{"dead_letter_ids":["x"]}', 'dead_letter_id'],
    ['{"cursor":"x"}', 'cursor'],
  ] as const) {
    assert.deepEqual(await post(body), [400, 'invalid_event', field], body)
  }
  const gone = await fetch(`http://${server.http}/v1/dead-letters/${ids.next()}`, { method: 'DELETE' })
  assert.equal(gone.status, 404)
  for (const [path, field] of [
    ['dead-letters?by=type', 'by'],
    ['dead-letters?by=cause&limit=1', 'by'],
    ['dead-letters?group=a%00', 'group'],
    ['dead-letters?redriven=yes', 'redriven'],
    ['dead-letters/x?y=1', 'y'],
    ['events?type=%00', 'type'],
  ] as const) {
    const answer = await fetch(`http://${server.http}/v1/${path}`)
    assert.deepEqual([answer.status, ((await answer.json()) as { field: string }).field], [400, field], path)
  }
  const empty = clientOf(t, server).administration.deleteDeadLetters({ deadLetterIds: [], type: 'a' }, true)
  await assert.rejects(empty, { code: 'invalid_event', field: 'dead_letter_ids' })
})
