// W1 over HTTP: one body of NDJSON, written as fast as the server reads it, with the events of `ingest` as lines.

import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { loggedNumbersProblems } from '../gate.ts'
import { expectedRows, idPrefix, numberDigits, numberStart, payload, writeDecimal } from '../messages.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { ingestOnly, startGateway, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface NdjsonOptions {
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
  readonly isBehindGateway: boolean
}

/** Lines in one write. */
const linesPerWrite = 100

/** Lines that are encoded once; then only their ids and numbers change. */
class Lines {
  readonly #template: Buffer
  readonly #lineBytes: number
  readonly #idNumberStart: number
  readonly #numberStart: number
  events = 0

  constructor(payloadBytes: number) {
    const head = `{"id":"${idPrefix()}${'0'.repeat(12)}","source":"/bench","type":"bench.reading","data":`
    const line = Buffer.from(`${head}${payload(0, payloadBytes)}}\n`)
    this.#idNumberStart = head.indexOf('","source') - numberDigits
    this.#numberStart = head.length + numberStart
    this.#lineBytes = line.length
    this.#template = Buffer.concat(Array.from({ length: linesPerWrite }, () => line))
  }

  next(): Buffer {
    const lines = Buffer.from(this.#template)
    for (let start = 0; start < lines.length; start += this.#lineBytes) {
      writeDecimal(lines, start + this.#idNumberStart, ++this.events)
      writeDecimal(lines, start + this.#numberStart, this.events)
    }
    return lines
  }
}

/** Resolves with how many lines were accepted. */
async function sendFor(seconds: number, http: string, lines: Lines): Promise<number> {
  const headers = { 'content-type': 'application/x-ndjson' }
  const call = request(`http://${http}/v1/events`, { method: 'POST', headers })
  const answered = once(call, 'response')
  const endMs = performance.now() + seconds * 1000
  while (performance.now() < endMs) if (!call.write(lines.next())) await once(call, 'drain')
  call.end()
  const [response] = await answered
  const { accepted } = JSON.parse(await text(response)) as { accepted: number }
  return accepted
}

await runBlock(({ payloadBytes, warmSeconds, seconds, isBehindGateway }: NdjsonOptions) =>
  withTempDirectory(async (directory) => {
    const service = await startService(directory, ingestOnly)
    const gateway = isBehindGateway ? await startGateway(join(directory, 'gateway'), service) : null
    const { http } = gateway ?? service
    const cpuSeconds = () => cpuSecondsOf(service.pid) + (gateway === null ? 0 : cpuSecondsOf(gateway.pid))
    const lines = new Lines(payloadBytes)
    const warmedUp = await sendFor(warmSeconds, http, lines)
    await sleep(50)
    const cpuBefore = cpuSeconds()
    const startMs = performance.now()
    const events = await sendFor(seconds, http, lines)
    const measuredSeconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSeconds() - cpuBefore
    const details: Record<string, number> =
      gateway === null ? {} : { gatewayMebibytes: Math.round(gateway.rssBytes / 2 ** 20) }
    await gateway?.stop()
    await service.stop()
    const problems = loggedNumbersProblems(directory, expectedRows(lines.events))
    if (warmedUp + events !== lines.events)
      problems.push(`${warmedUp + events} of ${lines.events} events were accepted`)
    return { events, seconds: measuredSeconds, serviceCpuSeconds, durability: 'disk', problems, details }
  }),
)
