// A grpc-js server that answers RequestService.Request by a BullMQ job: bullmq-server.ts REDIS_PORT CONCURRENCY. Prints its
// address.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import {
  type RequestRequest,
  RequestRequestSchema,
  type RequestResponse,
  RequestResponseSchema,
} from '../../../src/gen/millrace/v1/request_pb.ts'
import { loadQueue } from './queues.ts'

/** What is used of the package, which is not one of the project's own. */
interface Bullmq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => { add(name: string, data: unknown, options: object): Promise<Job>; setMaxListeners(count: number): void }
  readonly QueueEvents: new (name: string, options: object) => { waitUntilReady(): Promise<unknown> }
  readonly Worker: new (
    name: string,
    work: (job: { readonly data: unknown }) => Promise<unknown>,
    options: object,
  ) => object
}

interface Job {
  waitUntilFinished(events: object): Promise<unknown>
}

const queueName = 'bench'
/** A job that is removed at once may be gone before its result is asked for. */
const keptJobs = 1000

const [redisPort, concurrency] = process.argv.slice(2).map(Number)
const bullmq = loadQueue<Bullmq>('bullmq')
if ('absent' in bullmq) throw new Error(bullmq.absent)
const connection = { host: '127.0.0.1', port: redisPort }
const queue = new bullmq.Queue(queueName, { connection })
// Each job that is waited for is a listener.
queue.setMaxListeners(0)
const events = new bullmq.QueueEvents(queueName, { connection })
await events.waitUntilReady()
new bullmq.Worker(queueName, async ({ data }) => data, { connection, concurrency })

async function answer({ data }: RequestRequest): Promise<RequestResponse> {
  const job = await queue.add('request', JSON.parse(Buffer.from(data).toString()), {
    attempts: 5,
    removeOnComplete: { count: keptJobs },
  })
  const result = await job.waitUntilFinished(events)
  return create(RequestResponseSchema, { data: Buffer.from(JSON.stringify(result)) })
}

const server = new grpc.Server()
server.addService(
  {
    Request: {
      path: '/millrace.v1.RequestService/Request',
      requestStream: false,
      responseStream: false,
      requestDeserialize: (bytes: Buffer): RequestRequest => fromBinary(RequestRequestSchema, bytes),
      requestSerialize: (message: RequestRequest) => Buffer.from(toBinary(RequestRequestSchema, message)),
      responseDeserialize: (bytes: Buffer): RequestResponse => fromBinary(RequestResponseSchema, bytes),
      responseSerialize: (message: RequestResponse) => Buffer.from(toBinary(RequestResponseSchema, message)),
    },
  },
  {
    Request: (
      call: grpc.ServerUnaryCall<RequestRequest, RequestResponse>,
      callback: grpc.sendUnaryData<RequestResponse>,
    ) =>
      answer(call.request).then(
        (response) => callback(null, response),
        (error) => callback(error),
      ),
  },
)
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.stdout.write(`127.0.0.1:${port}\n`)
})
