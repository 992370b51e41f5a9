// A collector of spans: a real HTTP server that takes OTLP in protobuf
// (https://opentelemetry.io/docs/specs/otlp) and decodes what the tests look at.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { bytesType, FieldWalker, varintType } from '../../src/lib/protobuf-walk.ts'
import { cleanup } from './cleanup.ts'

export interface CollectedSpan {
  readonly service: string
  readonly name: string
  /** 4: producer, 5: consumer. */
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  /** '' for the first span of a trace. */
  readonly parentId: string
  readonly traceState: string
  readonly attributes: Readonly<Record<string, string | number>>
  /** The ids of the spans that it has links to. */
  readonly links: readonly string[]
  /** 2: it has failed. */
  readonly status: number
}

export interface TraceCollector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string
  readonly spans: CollectedSpan[]
  /** The status of its answers. Default 200. */
  answer: number
}

export async function startTraceCollector(t: TestContext): Promise<TraceCollector> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const isTraces = request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf'
    if (isTraces && collector.answer === 200) collector.spans.push(...decodeSpans(Buffer.concat(chunks)))
    response.writeHead(isTraces ? collector.answer : 404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup(t, async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const collector: TraceCollector = { endpoint: `http://127.0.0.1:${port}`, spans: [], answer: 200 }
  return collector
}

type Fields = Map<number, (Buffer | number)[]>

/** The fields of a message: bytes as they are, varints as numbers. */
function fieldsOf(bytes: Buffer): Fields {
  const fields: Fields = new Map()
  const walker = new FieldWalker().reset(bytes, 0, bytes.length)
  while (walker.next()) {
    const values = fields.get(walker.number) ?? []
    fields.set(walker.number, values)
    if (walker.wireType === bytesType) values.push(bytes.subarray(walker.valueStart, walker.valueEnd))
    else if (walker.wireType === varintType) values.push(walker.valueHigh * 2 ** 32 + walker.valueLow)
  }
  if (walker.broken) throw new Error('the collector got bytes that are no protobuf message')
  return fields
}

const messages = (fields: Fields, number: number) => (fields.get(number) ?? []) as Buffer[]
const message = (fields: Fields, number: number) => messages(fields, number).at(-1) ?? Buffer.alloc(0)
const number = (fields: Fields, at: number) => (fields.get(at)?.at(-1) as number | undefined) ?? 0

function decodeSpans(bytes: Buffer): CollectedSpan[] {
  return messages(fieldsOf(bytes), 1).flatMap((resourceSpans) => {
    const fields = fieldsOf(resourceSpans)
    const service = attributesOf(fieldsOf(message(fields, 1)), 1)['service.name']
    return messages(fields, 2).flatMap((scopeSpans) =>
      messages(fieldsOf(scopeSpans), 2).map((span) => decodeSpan(fieldsOf(span), String(service))),
    )
  })
}

function decodeSpan(fields: Fields, service: string): CollectedSpan {
  const hex = (at: number) => message(fields, at).toString('hex')
  return {
    service,
    name: message(fields, 5).toString(),
    kind: number(fields, 6),
    traceId: hex(1),
    spanId: hex(2),
    parentId: hex(4),
    traceState: message(fields, 3).toString(),
    attributes: attributesOf(fields, 9),
    links: messages(fields, 13).map((link) => message(fieldsOf(link), 2).toString('hex')),
    status: number(fieldsOf(message(fields, 15)), 3),
  }
}

function attributesOf(fields: Fields, at: number): Record<string, string | number> {
  const pairs = messages(fields, at).map((pair) => {
    const pairFields = fieldsOf(pair)
    const value = fieldsOf(message(pairFields, 2))
    return [message(pairFields, 1).toString(), value.has(1) ? message(value, 1).toString() : number(value, 3)] as const
  })
  return Object.fromEntries(pairs)
}
