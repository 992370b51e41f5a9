// The one file of a multipart form, as a stream.
//
// The library reads a part when the one before is read. Its toBuffer and saveRequestFiles are never called: they would hold
// the file in memory, or on another disk.

import type { MultipartFile } from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { withinMs } from '../../lib/abort.ts'
import { askForBody } from './expect-continue.ts'

/** More than one file is refused below; these keep what is read for that small. */
const limits = {
  fields: 1,
  files: 2,
  parts: 3,
  fieldNameSize: 256,
  fieldSize: 1024,
  headerPairs: 20,
  fileSize: 2 ** 53,
}

export interface FormFile {
  readonly filename: string
  readonly contentType: string
  /** Ends without an error only when the form does. Errors: `invalid_event`, `cancelled`. */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Reads the form up to its file. Errors: `invalid_event`, `deadline_exceeded` (nothing came within `maxWaitMs`). */
export async function readFormFile(request: FastifyRequest, maxWaitMs: number): Promise<FormFile> {
  askForBody(request.raw)
  const parts = request.parts({ limits, preservePath: true })
  const first = await withinMs(
    orRefusal(request, () => parts.next()),
    maxWaitMs,
    null,
  )
  if (first === null) {
    const problem = `the file did not begin within ${Math.round(maxWaitMs / 1000)} s`
    throw new MillraceError('deadline_exceeded', problem, { field: 'body' })
  }
  if (first.done === true) throw wrongForm('it has no file')
  const part = first.value
  if (part.type === 'field') throw wrongForm(`it has the field ${shown(part.fieldname)}; only one file is taken`)
  return { filename: part.filename ?? '', contentType: part.mimetype, chunks: chunksOf(request, part, parts) }
}

async function* chunksOf(
  request: FastifyRequest,
  { file }: MultipartFile,
  parts: ReturnType<FastifyRequest['parts']>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = file[Symbol.asyncIterator]()
  try {
    for (;;) {
      const { done, value } = await orRefusal(request, () => chunks.next())
      if (done === true) break
      yield value
    }
    const next = await orRefusal(request, () => parts.next())
    if (next.done !== true)
      throw wrongForm(`it has ${shown(next.value.fieldname)} besides the file; only one file is taken`)
  } finally {
    file.destroy()
  }
}

async function orRefusal<T>({ raw }: FastifyRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (raw.destroyed && !raw.complete)
      throw new MillraceError('cancelled', 'the client disconnected in the middle of the body', { cause: thrown })
    throw wrongForm((thrown as Error).message)
  }
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 100))
}

function wrongForm(problem: string): MillraceError {
  return new MillraceError('invalid_event', `the form is not valid: ${problem}`, { field: 'body' })
}
