// The log destination of a test's server: keeps the lines, parsed.

import { Writable } from 'node:stream'

export class LinesWritten extends Writable {
  readonly lines: Record<string, unknown>[] = []

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    for (const line of chunk.toString().split('\n')) if (line !== '') this.lines.push(JSON.parse(line))
    callback()
  }
}
