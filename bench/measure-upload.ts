// The measured part of W6, the same for product, floor and peer: one file of many chunks, over gRPC or as multipart over
// HTTP.
//
// The events of its results are MiB. A file counts when what is read back from the disk has the hash of what was sent.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { type UploadRequest, UploadRequestSchema, UploadResponseSchema } from '../src/gen/millrace/v1/file_pb.ts'
import type { BlockResult } from './block.ts'
import { cpuSecondsOf } from './process-usage.ts'
import { RssWatch } from './rss-watch.ts'

export interface UploadOptions {
  readonly bytes: number
}

/** Sends a file of this many chunks and resolves with the id that the server has given it. */
export type Send = (chunks: number) => Promise<string>

const mebibyte = 1024 * 1024
const chunkBytes = 64 * 1024
const warmUpShare = 0.125
/** Different chunks, sent in turn. */
const contents = Array.from({ length: 64 }, () => randomBytes(chunkBytes))

/**
 * @param pid the service's process.
 * @param pathOf where the service has stored a file.
 */
export async function measureUpload(
  pid: number,
  { bytes }: UploadOptions,
  send: Send,
  pathOf: (fileId: string) => string,
): Promise<Omit<BlockResult, 'durability'>> {
  const chunks = Math.ceil(bytes / chunkBytes)
  await send(Math.ceil(chunks * warmUpShare))
  const watch = new RssWatch(pid)
  const before = watch.take()
  const [startMs, cpuBefore, ownCpuBefore] = [performance.now(), cpuSecondsOf(pid), cpuSecondsOf(process.pid)]
  const fileId = await send(chunks)
  const seconds = (performance.now() - startMs) / 1000
  const serviceCpuSeconds = cpuSecondsOf(pid) - cpuBefore
  const generatorCpuSeconds = cpuSecondsOf(process.pid) - ownCpuBefore
  const rssGrowthMiB = (watch.take().highestBytes - before.lastBytes) / mebibyte
  watch.close()
  const stored = createHash('sha256')
  await pipeline(createReadStream(pathOf(fileId), { highWaterMark: mebibyte }), stored)
  const sent = createHash('sha256')
  for (let index = 0; index < chunks; index++) sent.update(contents[index % contents.length]!)
  return {
    events: (chunks * chunkBytes) / mebibyte,
    seconds,
    serviceCpuSeconds,
    problems: stored.digest('hex') === sent.digest('hex') ? [] : ['the stored file is not the one that was sent'],
    details: { rssGrowthMiB, rssMiB: before.lastBytes / mebibyte, generatorCpuSeconds },
  }
}

/** A client stream of FileService.Upload. */
export function overGrpc(address: string): Send {
  const encode = (part: UploadRequest['part']) =>
    Buffer.from(toBinary(UploadRequestSchema, create(UploadRequestSchema, { part })))
  const messages = contents.map((value) => encode({ case: 'chunk', value }))
  return async (chunks) => {
    const client = new grpc.Client(address, grpc.credentials.createInsecure())
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const call = client.makeClientStreamRequest(
      '/millrace.v1.FileService/Upload',
      (bytes: Buffer) => bytes,
      (bytes) => fromBinary(UploadResponseSchema, bytes),
      (error, response) => (response === undefined ? reject(error) : resolve(response.fileId)),
    )
    const header = {
      $typeName: 'millrace.v1.UploadHeader',
      filename: 'bench',
      size: BigInt(chunks * chunkBytes),
    } as const
    call.write(encode({ case: 'header', value: { ...header, contentType: '', sha256: '', fileId: '' } }))
    await writeAll(call, chunks, messages, promise)
    call.end()
    return promise.finally(() => client.close())
  }
}

/** One part of a multipart body; the answer is JSON with `file_id`. */
export function overMultipart(url: string): Send {
  const boundary = 'bench-boundary'
  return async (chunks) => {
    const call = request(url, {
      method: 'POST',
      headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` },
    })
    const answered = once(call, 'response').then(async ([response]) => {
      const body = await text(response)
      if (response.statusCode >= 300) throw new Error(`${url} answered ${response.statusCode}: ${body}`)
      return JSON.parse(body).file_id as string
    })
    call.write(`--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="bench"\r\n\r\n`)
    await writeAll(call, chunks, contents, answered)
    call.end(`\r\n--${boundary}--\r\n`)
    return answered
  }
}

interface Writable extends NodeJS.EventEmitter {
  write(chunk: Buffer): boolean
}

/** Rejects when the answer is an error, because then nothing drains. */
async function writeAll(
  call: Writable,
  chunks: number,
  messages: readonly Buffer[],
  answered: Promise<unknown>,
): Promise<void> {
  for (let index = 0; index < chunks; index++) {
    if (!call.write(messages[index % messages.length]!)) await Promise.race([once(call, 'drain'), answered])
  }
}
