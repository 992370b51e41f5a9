// FileService: the messages of an upload, and a row for each unary call.

import { FileService, UploadHeaderSchema, UploadResponseSchema } from '../gen/millrace/v1/file_pb.ts'
import type { FileDescription, FileHeader, StoredFile, UploadState } from '../pipeline/files.ts'
import { duration } from './durations.ts'
import { rpc } from './rpc.ts'
import { count, orEmpty, orNull, shape, text, time } from './shape.ts'

interface FileName {
  readonly fileId: string
}

/** Null: the analysis is waited for until the deadline of the call. */
export type SentHeader = FileHeader & { readonly analysisWithinMs: number | null }

export const fileHeader = shape<SentHeader>(UploadHeaderSchema, {
  filename: text,
  contentType: text,
  size: orNull(count),
  sha256: orEmpty(text),
  fileId: text,
  analysisWithinMs: orNull(duration),
})

export const storedFile = shape<StoredFile>(UploadResponseSchema, {
  fileId: text,
  size: count,
  sha256: text,
  analysis: orEmpty(text),
})

export const fileRpcs = {
  uploadState: rpc<FileName, UploadState>(
    FileService.method.getUpload,
    { fileId: text },
    { received: count, synced: count },
  ),
  file: rpc<FileName, FileDescription>(
    FileService.method.getFile,
    { fileId: text },
    {
      fileId: text,
      filename: text,
      contentType: text,
      size: count,
      sha256: text,
      receivedAtMicros: time,
      analysis: orEmpty(text),
    },
  ),
}
