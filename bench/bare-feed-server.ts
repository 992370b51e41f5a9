// A grpc-js server that writes the same event to all its subscribers, one message for each, again and again: the cost of
// the transport alone. bare-feed-server.ts SUBSCRIBERS PAYLOAD_BYTES; it begins when so many have come.

import { create, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { EventSchema } from '../src/gen/millrace/v1/event_pb.ts'
import { SubscribeResponseSchema } from '../src/gen/millrace/v1/live_pb.ts'
import { payload } from './messages.ts'

type Call = grpc.ServerWritableStream<Buffer, Buffer>

const subscribers = Number(process.argv[2] ?? '1')
const payloadBytes = Number(process.argv[3] ?? '200')
const asIs = (bytes: Buffer): Buffer => bytes
const encode = (response: Parameters<typeof create<typeof SubscribeResponseSchema>>[1]) =>
  Buffer.from(toBinary(SubscribeResponseSchema, create(SubscribeResponseSchema, response)))
const event = create(EventSchema, { type: 'bench.reading', source: '/bench', data: payload(0, payloadBytes) })
const message = encode({ events: [event] })
const caughtUp = encode({ caughtUp: {} })
/** Rounds between two turns of the event loop: what the transport takes is then read. */
const roundsPerTurn = 16
/** The subscribers, and what goes on when each has room again. */
const calls = new Map<Call, () => void>()

const server = new grpc.Server()
server.addService(
  {
    Subscribe: {
      path: '/millrace.v1.LiveService/Subscribe',
      requestStream: false,
      responseStream: true,
      requestDeserialize: asIs,
      requestSerialize: asIs,
      responseDeserialize: asIs,
      responseSerialize: asIs,
    },
  },
  {
    Subscribe: (call: Call) => {
      call.on('drain', () => calls.get(call)?.())
      call.on('cancelled', () => {
        calls.get(call)?.()
        calls.delete(call)
      })
      call.write(caughtUp)
      calls.set(call, () => {})
      if (calls.size === subscribers) void writeToAll()
    },
  },
)
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.stdout.write(`127.0.0.1:${port}\n`)
})

async function writeToAll(): Promise<void> {
  for (let round = 1; calls.size > 0; round++) {
    const full: Call[] = []
    for (const call of calls.keys()) if (!call.write(message)) full.push(call)
    await Promise.all(full.map((call) => new Promise<void>((resolve) => calls.set(call, resolve))))
    if (round % roundsPerTurn === 0) await new Promise(setImmediate)
  }
}
