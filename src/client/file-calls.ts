// The two streams of FileService, with backpressure: one upload, one download.

import { createHash } from 'node:crypto'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type ClientWritableStream, type Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import {
  DownloadRequestSchema,
  DownloadResponseSchema,
  type UploadHeader,
  UploadRequestSchema,
} from '../gen/millrace/v1/file_pb.ts'
import type { ByteRange } from '../lib/file-chunks.ts'
import { varintLength, writeVarint } from '../lib/protobuf-walk.ts'
import type { StoredFile } from '../pipeline/files.ts'
import { fileHeader, type SentHeader, storedFile } from '../wire/files.ts'
import { errorOfCall, type FailedCall } from './grpc-errors.ts'

const service = 'millrace.v1.FileService'
const chunkBytes = 64 * 1024

export interface StreamOptions {
  /** Milliseconds since 1970. Default: none. */
  readonly deadline?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly metadata?: Metadata | undefined
}

/** Resolves with the server's answer, and the SHA-256 of what was sent. Takes a chunk when the one before has left. */
export async function uploadCall(
  client: GrpcClient,
  header: SentHeader,
  chunks: AsyncIterable<Uint8Array>,
  { deadline, signal, metadata = new Metadata() }: StreamOptions,
): Promise<{ readonly stored: StoredFile; readonly sha256: string }> {
  const answer = Promise.withResolvers<StoredFile>()
  const call = client.makeClientStreamRequest<Buffer, StoredFile>(
    `/${service}/Upload`,
    (bytes) => bytes,
    (bytes) => storedFile.ofMessage(fromBinary(storedFile.schema, bytes)),
    metadata,
    deadline === undefined ? {} : { deadline },
    (error, response) => (error === null ? answer.resolve(response!) : answer.reject(errorOfCall(error))),
  )
  const cancel = () => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  if (signal?.aborted === true) cancel()
  const iterator = chunks[Symbol.asyncIterator]()
  let isSourceOver = false
  const nextChunk = async () => {
    try {
      const next = await iterator.next()
      isSourceOver ||= next.done === true
      return next
    } catch (thrown) {
      isSourceOver = true
      throw thrown
    }
  }
  try {
    const sent = send(call, header, nextChunk)
    // A refusal comes before everything is sent.
    const sha256 = await Promise.race([sent, answer.promise.then(() => sent)])
    return { stored: await answer.promise, sha256 }
  } catch (thrown) {
    answer.promise.catch(() => {})
    cancel()
    // As a loop over the chunks would: not when they have ended by themselves. One of them may still be waited for.
    if (!isSourceOver) void iterator.return?.()
    throw thrown
  } finally {
    signal?.removeEventListener('abort', cancel)
  }
}

/** The bytes of a complete file, or of a range of it, read as they are taken. */
export async function* downloadCall(
  client: GrpcClient,
  fileId: string,
  range: ByteRange | undefined,
  { signal, metadata = new Metadata() }: StreamOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const request = range === undefined ? { fileId } : { fileId, start: BigInt(range.start), end: BigInt(range.end) }
  const call = client.makeServerStreamRequest<Buffer, Uint8Array>(
    `/${service}/Download`,
    (bytes) => bytes,
    (bytes) => fromBinary(DownloadResponseSchema, bytes).chunk,
    encode(DownloadRequestSchema, request),
    metadata,
  )
  // After the loop has ended nothing else listens, and cancelling emits an error.
  call.on('error', () => {})
  const cancel = () => call.cancel()
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    for await (const chunk of call) yield chunk as Uint8Array
  } catch (thrown) {
    throw errorOfCall(thrown as FailedCall)
  } finally {
    signal?.removeEventListener('abort', cancel)
    cancel()
  }
}

/** Sends everything; resolves with its SHA-256. Rejects with the error of the source. Ends early when the call has ended. */
async function send(
  call: ClientWritableStream<Buffer>,
  header: SentHeader,
  nextChunk: () => Promise<IteratorResult<Uint8Array>>,
): Promise<string> {
  const hash = createHash('sha256')
  let isOver = false
  let wake = () => {}
  for (const event of ['error', 'close', 'status'])
    call.on(event, () => {
      isOver = true
      wake()
    })
  call.on('drain', () => wake())
  const write = async (message: Buffer) => {
    if (isOver || call.write(message)) return
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  await write(
    encode(UploadRequestSchema, { part: { case: 'header', value: fileHeader.toMessage(header) as UploadHeader } }),
  )
  for (;;) {
    const { done, value: chunk } = await nextChunk()
    if (done === true || isOver) break
    hash.update(chunk)
    for (let at = 0; at < chunk.length; at += chunkBytes) await write(encodeChunk(chunk.subarray(at, at + chunkBytes)))
  }
  call.end()
  return hash.digest('hex')
}

/** An UploadRequest, by hand: the writer of protobuf-es would copy the chunk three times. */
function encodeChunk(chunk: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(1 + varintLength(chunk.length) + chunk.length)
  // Field 2, chunk.
  message[0] = 0x12
  message.set(chunk, writeVarint(message, 1, chunk.length))
  return message
}

function encode<Schema extends Parameters<typeof create>[0]>(schema: Schema, fields: MessageInitShape<Schema>): Buffer {
  const bytes = toBinary(schema, create(schema, fields))
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
