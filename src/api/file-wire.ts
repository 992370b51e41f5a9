// Converts between the types of files.ts and the messages of millrace.v1.FileService.

import type { MessageInitShape } from '@bufbuild/protobuf'
import type { GetFileResponseSchema, UploadHeader, UploadResponseSchema } from '../gen/millrace/v1/file_pb.ts'
import { timestampOf } from '../lib/timestamp.ts'
import type { FileDescription, FileHeader } from '../pipeline/files.ts'

export function headerOfMessage({ filename, contentType, size, sha256, fileId }: UploadHeader): FileHeader {
  return { filename, contentType, fileId, size: size === undefined ? null : Number(size), sha256: sha256 || null }
}

export function toUploadResponse(file: FileDescription): MessageInitShape<typeof UploadResponseSchema> {
  const { fileId, size, sha256, analysis } = file
  return { fileId, size: BigInt(size), sha256, analysis: analysis ?? '' }
}

export function toFileMessage(file: FileDescription): MessageInitShape<typeof GetFileResponseSchema> {
  const { fileId, filename, contentType, size, sha256, receivedAtMicros, analysis } = file
  return {
    ...{ fileId, filename, contentType, sha256 },
    size: BigInt(size),
    receivedAt: timestampOf(receivedAtMicros),
    analysis: analysis ?? '',
  }
}
