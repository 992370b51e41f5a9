// Files over gRPC: uploads and downloads as streams, with backpressure in both directions.

import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { type ClientWritableStream, type Client as GrpcClient, Metadata } from '@grpc/grpc-js'
import { MillraceError } from '../errors.ts'
import { EventIdGenerator } from '../event/event.ts'
import {
  DownloadRequestSchema,
  DownloadResponseSchema,
  type UploadHeader,
  UploadRequestSchema,
} from '../gen/millrace/v1/file_pb.ts'
import { openFileChunks } from '../lib/file-chunks.ts'
import type { FileDescription, FileHeader, StoredFile, UploadState } from '../pipeline/files.ts'
import { fileHeader, fileRpcs, storedFile } from '../wire/files.ts'
import { errorOfCall, type FailedCall } from './grpc-errors.ts'
import type { MakeCall } from './make-call.ts'

const service = 'millrace.v1.FileService'
const chunkBytes = 64 * 1024

export interface UploadFileOptions extends Partial<Omit<FileHeader, 'size' | 'sha256'>> {
  /** In bytes. Default: the size of the file of a path. With other content the upload is refused. */
  readonly size?: number
  /** 64 hexadecimal digits. With other content the upload is refused. */
  readonly sha256?: string
  /** Timeout of the whole call, in milliseconds, the analysis included. Default: none. */
  readonly deadlineMs?: number
  /** Ends the upload; nothing is kept. */
  readonly signal?: AbortSignal
}

/** The answer to an upload. */
export type UploadedFile = StoredFile

/** Files of the server; `client.files`. */
export interface ClientFiles {
  /** How much of an upload the server has received and flushed. Errors: `not_found` (it has ended, or another server has it). */
  uploadState(fileId: string): Promise<UploadState>
  /** A complete file's metadata and analysis. Errors: `not_found`. */
  file(fileId: string): Promise<FileDescription>
  /** The bytes of a complete file, read as they are taken. Errors: `not_found`, `corrupt`. */
  download(fileId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>
}

export interface FileCalls {
  readonly open: () => Promise<GrpcClient>
  readonly call: MakeCall
}

export class FilesClient implements ClientFiles {
  readonly #calls: FileCalls
  readonly #ids = new EventIdGenerator()

  constructor(calls: FileCalls) {
    this.#calls = calls
  }

  async upload(source: string | AsyncIterable<Uint8Array>, options: UploadFileOptions): Promise<UploadedFile> {
    const opened = typeof source === 'string' ? await openFileChunks(source) : null
    const { filename = typeof source === 'string' ? basename(source) : '', contentType = '', sha256 = null } = options
    const { fileId = this.#ids.next(), size = opened?.size ?? null, deadlineMs, signal } = options
    const header = { filename, contentType, fileId, sha256, size, analysisWithinMs: null }
    const client = await this.#calls.open().catch((thrown: unknown) => {
      opened?.close()
      throw thrown
    })
    const limits = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }
    const answer = Promise.withResolvers<StoredFile>()
    const call = client.makeClientStreamRequest<Buffer, StoredFile>(
      `/${service}/Upload`,
      (bytes) => bytes,
      (bytes) => storedFile.ofMessage(fromBinary(storedFile.schema, bytes)),
      new Metadata(),
      limits,
      (error, response) => (error === null ? answer.resolve(response!) : answer.reject(errorOfCall(error))),
    )
    const cancel = () => call.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    if (signal?.aborted === true) cancel()
    try {
      const sent = send(call, header, opened?.chunks ?? (source as AsyncIterable<Uint8Array>))
      // A refusal comes before everything is sent.
      const hash = await Promise.race([sent, answer.promise.then(() => sent)])
      const response = await answer.promise
      if (response.sha256 !== hash) {
        const text = `the server has stored other content as file ${response.fileId}: SHA-256 ${response.sha256}, sent was ${hash}`
        throw new MillraceError('internal', text, { field: 'sha256' })
      }
      return response
    } catch (thrown) {
      answer.promise.catch(() => {})
      cancel()
      throw thrown
    } finally {
      signal?.removeEventListener('abort', cancel)
      opened?.close()
    }
  }

  uploadState(fileId: string): Promise<UploadState> {
    return this.#calls.call(fileRpcs.uploadState, { fileId })
  }

  file(fileId: string): Promise<FileDescription> {
    return this.#calls.call(fileRpcs.file, { fileId })
  }

  async *download(
    fileId: string,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const client = await this.#calls.open()
    const call = client.makeServerStreamRequest<Buffer, Uint8Array>(
      `/${service}/Download`,
      (bytes) => bytes,
      (bytes) => fromBinary(DownloadResponseSchema, bytes).chunk,
      encode(DownloadRequestSchema, { fileId }),
      new Metadata(),
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
}

/** Sends everything; resolves with its SHA-256. Rejects with the error of the source. Ends early when the call has ended. */
async function send(
  call: ClientWritableStream<Buffer>,
  header: Parameters<typeof fileHeader.toMessage>[0],
  chunks: AsyncIterable<Uint8Array>,
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
  const write = async (part: MessageInitShape<typeof UploadRequestSchema>['part']) => {
    if (isOver || call.write(encode(UploadRequestSchema, { part: part! }))) return
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  await write({ case: 'header', value: fileHeader.toMessage(header) as UploadHeader })
  for await (const chunk of chunks) {
    if (isOver) break
    hash.update(chunk)
    for (let at = 0; at < chunk.length; at += chunkBytes)
      await write({ case: 'chunk', value: chunk.subarray(at, at + chunkBytes) })
  }
  call.end()
  return hash.digest('hex')
}

function encode<Schema extends Parameters<typeof create>[0]>(schema: Schema, fields: MessageInitShape<Schema>): Buffer {
  const bytes = toBinary(schema, create(schema, fields))
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
