// A grpc-js server that receives the messages of PublishStream and Produce and drops them, sends requests back, and writes
// an upload to the disk: the cost of the transport, and of the writing, alone.
//
// It prints its address and answers like Millrace, so that the same generator can drive it:
// bare-grpc-server.ts EVENTS_PER_MESSAGE DIRECTORY.

import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { UploadRequestSchema, UploadResponseSchema } from '../src/gen/millrace/v1/file_pb.ts'
import { ProduceResponseSchema, PublishStreamResponseSchema } from '../src/gen/millrace/v1/ingest_pb.ts'

const asIs = (bytes: Buffer): Buffer => bytes
const eventsPerMessage = BigInt(process.argv[2] ?? '1')
const directory = process.argv[3] ?? '.'
/** Chunks that arrive during a write are written together. */
const maxBufferedBytes = 1024 * 1024
let uploads = 0

const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/millrace.v1.${path}`,
  requestStream,
  responseStream,
  requestDeserialize: asIs,
  requestSerialize: asIs,
  responseDeserialize: asIs,
  responseSerialize: asIs,
})

const server = new grpc.Server({ 'grpc.max_receive_message_length': 8 * 1024 * 1024 })
server.addService(
  {
    PublishStream: method('IngestService/PublishStream', true, false),
    Produce: method('IngestService/Produce', true, true),
    Request: method('RequestService/Request', false, false),
    Upload: { ...method('FileService/Upload', true, false), requestDeserialize: chunkOf },
  },
  {
    PublishStream: (call: grpc.ServerReadableStream<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      let messages = 0n
      call.on('data', () => messages++)
      call.on('end', () => {
        const accepted = messages * eventsPerMessage
        callback(
          null,
          Buffer.from(toBinary(PublishStreamResponseSchema, create(PublishStreamResponseSchema, { accepted }))),
        )
      })
    },
    Produce: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      let ackedThrough = 0n
      call.on('data', () => ackedThrough++)
      call.on('end', () => {
        call.write(Buffer.from(toBinary(ProduceResponseSchema, create(ProduceResponseSchema, { ackedThrough }))))
        call.end()
      })
    },
    // Type and data of a request have the field numbers of the id and the data of its answer.
    Request: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) =>
      callback(null, call.request),
    Upload: (call: grpc.ServerReadableStream<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      const fileId = String(++uploads)
      const file = createWriteStream(`${directory}/${fileId}`, { flush: true, highWaterMark: maxBufferedBytes })
      pipeline(call, file, (error) => {
        const response = Buffer.from(toBinary(UploadResponseSchema, create(UploadResponseSchema, { fileId })))
        callback(error === null || error === undefined ? null : { details: error.message }, response)
      })
    },
  },
)
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.stdout.write(`127.0.0.1:${port}\n`)
})

/** The header has none. */
function chunkOf(message: Buffer): Buffer {
  const { part } = fromBinary(UploadRequestSchema, message)
  return part.case === 'chunk' ? Buffer.from(part.value.buffer, part.value.byteOffset, part.value.length) : Buffer.of()
}
