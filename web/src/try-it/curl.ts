// A call as a line for a shell.

import { addressOf } from '../api.ts'

export interface CurlCall {
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: readonly string[]
  readonly data?: string
  readonly fileName?: string
  readonly needsKey: boolean
}

export function curlLine({ path, query = {}, headers = [], data, fileName, needsKey }: CurlCall): string {
  return [
    'curl',
    // In double quotes the shell puts the key in.
    ...(needsKey ? ['-H "authorization: Bearer $MILLRACE_KEY"'] : []),
    ...headers.map((header) => `-H ${quoted(header)}`),
    // Not -d: that takes text which begins with @ for the name of a file.
    ...(data === undefined ? [] : [`--data-raw ${quoted(data)}`]),
    ...(fileName === undefined ? [] : [`-F ${quoted(`file=@"${fileName.replace(/["\\]/g, '\\$&')}"`)}`]),
    quoted(addressOf(path, query)),
  ].join(' ')
}

/** For a POSIX shell; as it is where nothing needs quotes. */
function quoted(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
