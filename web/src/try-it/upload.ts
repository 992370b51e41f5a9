// Sends a file as it is. By XMLHttpRequest: fetch does not say how much of a body is sent.

import { ApiProblem, addressOf, problemOf, type StoredFile } from '../api.ts'
import type { Progress } from './activity-log.ts'

interface UploadOptions {
  /** A UUID. */
  readonly fileId: string
  /** Whether the answer comes with the analysis, or as soon as the file is stored. */
  readonly isAnalysisAwaited: boolean
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
  /** The last byte has left the browser. */
  readonly onSent: () => void
}

/** Resolves when the file is stored. Errors: ApiProblem. */
export function upload(file: File, options: UploadOptions): Promise<StoredFile> {
  const { fileId, isAnalysisAwaited, signal, onProgress, onSent } = options
  const { promise, resolve, reject } = Promise.withResolvers<StoredFile>()
  const sending = new XMLHttpRequest()
  sending.open('POST', addressOf('v1/files'))
  sending.setRequestHeader('content-type', file.type || 'application/octet-stream')
  sending.setRequestHeader('content-disposition', `attachment; filename*=UTF-8''${escaped(file.name)}`)
  sending.setRequestHeader('millrace-file-id', fileId)
  if (!isAnalysisAwaited) sending.setRequestHeader('prefer', 'wait=0')
  sending.upload.onprogress = ({ loaded }) => onProgress({ sentBytes: loaded, totalBytes: file.size })
  sending.upload.onload = onSent
  sending.onload = () => {
    if (sending.status === 201) resolve(JSON.parse(sending.responseText))
    else reject(problemOf(sending.status, sending.responseText))
  }
  sending.onerror = () => {
    reject(new ApiProblem(0, 'unavailable', 'The server does not answer, or the file cannot be read any more.'))
  }
  sending.onabort = () => reject(signal.reason)
  const abort = () => sending.abort()
  signal.addEventListener('abort', abort)
  sending.onloadend = () => signal.removeEventListener('abort', abort)
  sending.send(file)
  return promise
}

/** RFC 8187. */
function escaped(name: string): string {
  return encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
