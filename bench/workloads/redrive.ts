// W9: redriving dead letters whose cause is gone. The letters are already in the database; a server starts and a client
// redrives them all, as fast as the server does.

import { connect } from '../../src/client/connect.ts'
import { EventIdGenerator } from '../../src/event/event.ts'
import { EventReader, encodeBatch } from '../../src/event/record-batch.ts'
import { rateLimits } from '../../src/pipeline/administration.ts'
import type { DeadLetter } from '../../src/store/dead-letter.ts'
import { openStore } from '../../src/store/open-store.ts'
import { runBlock } from '../block.ts'
import { payload } from '../messages.ts'
import { withPostgres } from '../postgres.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface RedriveOptions {
  readonly store: 'sqlite' | 'postgres'
  readonly letters: number
  readonly payloadBytes: number
}

/** Letters that are stored with one call. */
const callLetters = 1000

const ids = new EventIdGenerator()

await runBlock((options: RedriveOptions) =>
  withTempDirectory((directory) =>
    options.store === 'sqlite'
      ? measure(directory, options)
      : withPostgres(directory, (_server, url) => measure(directory, options, url)),
  ),
)

async function measure(directory: string, { letters, payloadBytes }: RedriveOptions, postgresUrl?: string) {
  const store = await openStore({ dataDir: directory, diskReserveBytes: 0, postgresUrl })
  const stored = Array.from({ length: letters }, (_, number) => letterOf(number, payloadBytes))
  for (let at = 0; at < letters; at += callLetters) await store.landDeadLetters(stored.slice(at, at + callLetters))
  await store.close()

  const service = await startService(directory, postgresUrl === undefined ? {} : { MILLRACE_POSTGRES_URL: postgresUrl })
  const client = connect({ addresses: [service.address] })
  const cpuBefore = cpuSecondsOf(service.pid)
  const startMs = performance.now()
  let redriven = 0
  let stopped: string | null = null
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const request = { filter: {}, rate: rateLimits.max, isDryRun: false, cursor }
    const answer = await client.administration.redriveDeadLetters(request)
    redriven += answer.redriven
    stopped = answer.stopped
    cursor = answer.nextCursor
  }
  const seconds = (performance.now() - startMs) / 1000
  const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
  const landed = await service.counter('millrace_landing_rows_total')
  client.close()
  await service.stop()

  const problems = [
    ...(stopped === null ? [] : [stopped]),
    ...(landed === letters ? [] : [`${landed} of ${letters} events landed`]),
  ]
  const details = { microsPerLetter: Math.round((seconds * 1e6) / redriven) }
  return { events: redriven, seconds, serviceCpuSeconds, durability: 'disk' as const, problems, details }
}

function letterOf(number: number, payloadBytes: number): DeadLetter {
  const id = ids.next()
  const atMicros = Date.UTC(2026, 0, 1) * 1000 + number
  const died = {
    attempt: 1,
    atMicros,
    code: 'refused_by_store',
    message: 'no',
    position: `events/0/normal@1:${number}`,
  }
  const batch = encodeBatch([{ id, type: 'bench.reading', source: '/bench', data: payload(number, payloadBytes) }])
  const reader = new EventReader().reset(batch)
  reader.next()
  return {
    deadLetterId: ids.next(),
    eventId: id,
    topic: 'events',
    group: 'landing',
    type: 'bench.reading',
    source: '/bench',
    code: died.code,
    message: died.message,
    attempts: 1,
    firstFailedAtMicros: atMicros,
    deadAtMicros: atMicros,
    event: batch.subarray(reader.fields.start, reader.fields.end),
    history: [died],
    redrivenAtMicros: null,
    redrives: 0,
  }
}
