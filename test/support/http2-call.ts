// A gRPC call through a plain HTTP/2 client, for requests that are valid HTTP/2 but invalid gRPC.

import { connect, constants } from 'node:http2'
import { within } from './eventually.ts'

export interface BareCall {
  readonly path: string
  /** Headers added to, or replacing, those of a normal gRPC call. */
  readonly headers?: Readonly<Record<string, string>>
  /** Content of the DATA frames. */
  readonly body: Uint8Array
  /** Whether the request ends after the body; default true. */
  readonly end?: boolean
  /** Longest wait for the answer in milliseconds; default 5,000. */
  readonly withinMs?: number
}

export interface BareAnswer {
  readonly httpStatus: number
  /** From the trailers, or from the headers of an answer without a body; null if absent. */
  readonly grpcStatus: number | null
  readonly grpcMessage: string
  /** The code of the stream reset; null if it was not reset. */
  readonly resetCode: number | null
}

/** Makes the call on a new connection and waits until it is answered or reset. */
export async function bareCall(address: string, call: BareCall): Promise<BareAnswer> {
  const session = connect(`http://${address}`)
  session.on('error', () => {})
  try {
    const stream = session.request(
      {
        ':method': 'POST',
        ':path': call.path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...call.headers,
      },
      { endStream: false },
    )
    let httpStatus = 0
    let grpcStatus: number | null = null
    let grpcMessage = ''
    const read = (headers: Record<string, unknown>): void => {
      if (headers[':status'] !== undefined) httpStatus = Number(headers[':status'])
      if (headers['grpc-status'] !== undefined) grpcStatus = Number(headers['grpc-status'])
      if (headers['grpc-message'] !== undefined) grpcMessage = decodeURIComponent(String(headers['grpc-message']))
    }
    stream
      .on('response', read)
      .on('trailers', read)
      .on('error', () => {})
    stream.resume()
    stream.write(call.body)
    if (call.end !== false) stream.end()
    // The answer may be complete while the request is still open.
    const answered = new Promise((resolve) => stream.on('end', resolve).on('close', resolve))
    await within(call.withinMs ?? 5000, `the answer of ${call.path}`, answered)
    const resetCode = stream.rstCode === constants.NGHTTP2_NO_ERROR ? null : (stream.rstCode ?? null)
    return { httpStatus, grpcStatus, grpcMessage, resetCode }
  } finally {
    session.destroy()
  }
}
