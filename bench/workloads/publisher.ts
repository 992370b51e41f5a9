// W1 through the TypeScript client: events are added one by one; the publisher encodes them and builds the messages.

import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/client/connect.ts'
import type { Publisher } from '../../src/client/publisher.ts'
import { runBlock } from '../block.ts'
import { loggedNumbersProblems } from '../gate.ts'
import { expectedRows, numberStart, payload, writeDecimal } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { ingestOnly, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface PublisherOptions {
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
}

/** Events added between two reads of the clock. */
const eventsPerClockRead = 100

/** Adds events for this time; resolves with the number of the last one when all are acknowledged. */
async function publishFor(seconds: number, publisher: Publisher, data: Buffer, lastNumber: number): Promise<number> {
  const endMs = performance.now() + seconds * 1000
  let number = lastNumber
  while (performance.now() < endMs) {
    for (let added = 0; added < eventsPerClockRead; added++) {
      writeDecimal(data, numberStart, ++number)
      if (!publisher.add({ source: '/bench', type: 'bench.reading', data })) await publisher.ready()
    }
  }
  await publisher.flush()
  return number
}

await runBlock(({ payloadBytes, warmSeconds, seconds }: PublisherOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(directory, ingestOnly)
    const client = connect({ addresses: [service.address] })
    const publisher = client.publisher()
    const data = payload(0, payloadBytes)
    const warmedUp = await publishFor(warmSeconds, publisher, data, 0)
    await sleep(50)
    const cpuBefore = cpuSecondsOf(service.pid)
    const startMs = performance.now()
    const published = await publishFor(seconds, publisher, data, warmedUp)
    const measuredSeconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
    const { accepted } = await publisher.close()
    client.close()
    await service.stop()
    const problems = loggedNumbersProblems(directory, expectedRows(published))
    if (accepted !== published) problems.push(`${accepted} of ${published} events were accepted`)
    const events = published - warmedUp
    return { events, seconds: measuredSeconds, serviceCpuSeconds, durability: 'disk', problems, details: {} }
  }),
)
