// FileService, without Upload (upload.ts).

import { once } from 'node:events'
import { create } from '@bufbuild/protobuf'
import type { ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { MillraceError, toMillraceError } from '../../errors.ts'
import { type DownloadRequest, type DownloadResponse, DownloadResponseSchema } from '../../gen/millrace/v1/file_pb.ts'
import type { ByteRange } from '../../lib/file-chunks.ts'
import type { Files } from '../../pipeline/files.ts'
import { fileRpcs as rpcs } from '../../wire/files.ts'
import { richStatusOf } from './rich-status.ts'
import { unary } from './unary.ts'

type DownloadCall = ServerWritableStream<DownloadRequest, DownloadResponse>

export function fileHandlers(files: Files): UntypedServiceImplementation {
  return {
    getUpload: unary(rpcs.uploadState, ({ fileId }) => files.uploadState(fileId)),
    getFile: unary(rpcs.file, ({ fileId }) => files.file(fileId)),
    download: (call: DownloadCall) => {
      const gone = new AbortController()
      call.on('cancelled', () => gone.abort())
      download(call, files, gone.signal).catch((thrown: unknown) => {
        if (!gone.signal.aborted) call.emit('error', richStatusOf(toMillraceError(thrown)))
      })
    },
  }
}

/** How long a download is kept open whose reader takes nothing: a worker may work on each chunk for long. */
const maxPauseMs = 3_600_000

async function download(call: DownloadCall, files: Files, signal: AbortSignal): Promise<void> {
  const range = rangeOf(call.request)
  for await (const chunk of files.download(call.request.fileId, { signal, range })) {
    if (call.write(create(DownloadResponseSchema, { chunk }))) continue
    await once(call, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(maxPauseMs)]) })
  }
  call.end()
}

/** Undefined: the whole file. Errors: `out_of_range`, naming the field. */
function rangeOf({ start, end }: DownloadRequest): ByteRange | undefined {
  if (end === undefined && start === 0n) return undefined
  if (end !== undefined && start <= end && end <= Number.MAX_SAFE_INTEGER)
    return { start: Number(start), end: Number(end) }
  const problem = `the range begins at byte ${start} and ends at ${end ?? 'none'}: give an end that is not before start, or neither`
  throw new MillraceError('out_of_range', problem, { field: 'end' })
}
