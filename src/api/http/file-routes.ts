// The routes of files: upload as a raw body or in a form, description, content.

import { Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import type { ByteRange } from '../../lib/file-chunks.ts'
import type { FileHeader, Files } from '../../pipeline/files.ts'
import { defaultRequestMs } from '../request-wait.ts'
import { answerInTime } from './answer-in-time.ts'
import { chunksOf } from './body-chunks.ts'
import { byteRangeOf } from './byte-range.ts'
import { encodingOf, refuseEncodedForm } from './content-encoding.ts'
import { downloadHeaders, fileHeaderOf, formFileHeaderOf } from './file-headers.ts'
import { fileJson, storedFileJson } from './file-json.ts'
import { readFormFile } from './form-file.ts'
import type { HttpTimes } from './http-times.ts'
import { jsonContentType } from './json-content-type.ts'
import { bodyBroken } from './open-requests.ts'
import { sendProblem } from './problem.ts'
import { readQuery } from './query.ts'
import { goneSignalOf, preferenceOf } from './request-routes.ts'

/** The pause that ends an upload is a setting of the pipeline. */
const maxPauseMs = 3_600_000

interface IdParams {
  readonly Params: { readonly id: string }
}

export function addFileRoutes(app: FastifyInstance, times: HttpTimes): void {
  const { maxAnswerMs, maxIdleMs } = times
  // In a scope of its own: it takes forms, and no other route does.
  app.register(async (scope) => {
    await scope.register(multipart)
    scope.post('/v1/files', async (request, reply) => {
      readQuery(request.query, [])
      const { waitMs } = preferenceOf(request)
      const { header, chunks } = await uploadOf(request, maxIdleMs)
      const file = await request.caller.pipeline.files.upload(header, chunks, {
        traceparent: request.headers.traceparent?.toString(),
        analysisWithinMs: () => waitMs ?? defaultRequestMs,
        signal: request.isMultipart()
          ? AbortSignal.any([goneSignalOf(reply), brokenSignalOf(request)])
          : goneSignalOf(reply),
      })
      reply
        .code(201)
        .headers({ location: `${request.prefix}/v1/files/${file.fileId}`, 'content-type': jsonContentType })
      return reply.send(storedFileJson(file))
    })
  })

  app.get<IdParams>('/v1/files/:id', async (request, reply) => {
    readQuery(request.query, [])
    const file = await answerInTime(request.caller.pipeline.files.file(request.params.id), maxAnswerMs)
    return reply.header('content-type', jsonContentType).send(fileJson(file))
  })

  app.get<IdParams>('/v1/files/:id/content', { exposeHeadRoute: false }, async (request, reply) => {
    readQuery(request.query, [])
    const { files } = request.caller.pipeline
    const file = await answerInTime(files.file(request.params.id), maxAnswerMs)
    const { fileId, size } = file
    const range = byteRangeOf(request.headers, size)
    if (range === 'unsatisfiable') {
      const error = new MillraceError('out_of_range', `range has no byte of the ${size} of the file`, {
        field: 'range',
      })
      return sendProblem(reply, { status: 416, error, headers: { 'content-range': `bytes */${size}` } })
    }
    const { first, chunks } = await begin(files, fileId, range ?? undefined)
    reply.raw.setTimeout(maxIdleMs, () => reply.raw.destroy())
    reply.headers(downloadHeaders(file))
    if (range !== null) {
      const { start, end } = range
      reply.code(206).headers({ 'content-range': `bytes ${start}-${end}/${size}`, 'content-length': end + 1 - start })
    }
    return reply.send(
      first.done === true ? Buffer.alloc(0) : Readable.from(following(first.value, chunks), { objectMode: false }),
    )
  })

  // The library's HEAD route would read the whole file.
  app.head<IdParams>('/v1/files/:id/content', async (request, reply) => {
    const { files } = request.caller.pipeline
    const file = await answerInTime(files.file(request.params.id), maxAnswerMs)
    const { chunks } = await begin(files, file.fileId)
    void chunks.return?.()
    return describe(reply, file)
  })

  /** Begins a download. What cannot be read must not begin as a success. */
  async function begin(files: Files, fileId: string, range?: ByteRange) {
    const chunks = files.download(fileId, { range })[Symbol.asyncIterator]()
    const first = await answerInTime(chunks.next(), maxAnswerMs).catch((thrown: unknown) => {
      void chunks.return?.()
      throw thrown
    })
    return { first, chunks }
  }
}

function describe(reply: FastifyReply, file: Parameters<typeof downloadHeaders>[0]): FastifyReply {
  return reply.headers(downloadHeaders(file)).send()
}

async function uploadOf(
  request: FastifyRequest,
  maxWaitMs: number,
): Promise<{ readonly header: FileHeader; readonly chunks: AsyncIterable<Uint8Array> }> {
  if (!request.isMultipart()) {
    const isEncoded = encodingOf(request.headers) !== null
    return { header: fileHeaderOf(request.headers, isEncoded), chunks: bodyOf(request) }
  }
  refuseEncodedForm(request.headers)
  const { filename, contentType, chunks } = await readFormFile(request, maxWaitMs)
  return { header: formFileHeaderOf(request.headers, filename, contentType), chunks }
}

function bodyOf({ raw }: FastifyRequest): AsyncIterable<Uint8Array> {
  const chunks = chunksOf(raw)
  const iterator = {
    next: async (): Promise<IteratorResult<Uint8Array, undefined>> => {
      const value = await chunks.next(maxPauseMs)
      return value === null ? { done: true, value: undefined } : { done: false, value }
    },
    return: async () => {
      // The rest of the body is read elsewhere, and not while this waits for it.
      chunks.stop()
      return { done: true as const, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}

/** Aborts when the rest of a form cannot come: the library does not notice. */
function brokenSignalOf({ raw }: FastifyRequest): AbortSignal {
  const broken = new AbortController()
  raw.once(bodyBroken, () => broken.abort())
  return broken.signal
}

/** Chunks of which the first was taken already. Not a generator: one that has not begun would not end the rest. */
function following(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  let next = (): Promise<IteratorResult<Uint8Array>> => {
    next = () => rest.next()
    return Promise.resolve({ done: false, value: first })
  }
  const iterator = {
    next: () => next(),
    return: async (value: undefined) => (await rest.return?.(value)) ?? { done: true as const, value },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
