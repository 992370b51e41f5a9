// The built-in requests `file.analyze`: counts the words, lines and bytes of a file, as a stream.

import { createHash } from 'node:crypto'
import { dead, defineHandler, type HandlerDefinition } from '../workers/define-handler.ts'
import { TextCounter } from './text-counter.ts'

/** How often it says that it moves: a large file takes longer than the time limit. */
const progressEveryBytes = 16 * 1024 * 1024

/** @param save stores the analysis of a file, JSON text: its reply is kept for a while only. */
export function fileAnalysis(save: (fileId: string, analysis: string) => Promise<void>): HandlerDefinition {
  return defineHandler({
    request: 'file.analyze',
    handle: async (request, { file, progress, signal }) => {
      const { file_id: fileId } = request.json() as { readonly file_id?: unknown }
      if (typeof fileId !== 'string') return dead('the data has no file_id: {"file_id": "..."}')
      const counter = new TextCounter()
      const hash = createHash('sha256')
      let bytes = 0
      let toldAtBytes = 0
      for await (const chunk of file(fileId)) {
        signal.throwIfAborted()
        counter.push(chunk)
        hash.update(chunk)
        bytes += chunk.length
        if (bytes - toldAtBytes < progressEveryBytes) continue
        toldAtBytes = bytes
        progress()
      }
      const { words, lines } = counter.end()
      const analysis = { words, lines, bytes, sha256: hash.digest('hex') }
      await save(fileId.toLowerCase(), JSON.stringify(analysis))
      return analysis
    },
  })
}
