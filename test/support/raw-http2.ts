// Hand-made HTTP/2 frames (RFC 9113), for input that no client library would send.

import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'

export const frameType = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const endStream = 0x1
export const endHeaders = 0x4

/** The connection preface. */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** A frame: nine header bytes, then the payload. `length` overrides the payload's true length. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export const emptySettings = frame(frameType.settings, 0, 0, Buffer.alloc(0))

/** Header fields as HPACK literals without indexing and without Huffman coding (RFC 7541, 6.2.2). */
export function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, 'latin1')
    return Buffer.concat([prefixedInteger(bytes.length), bytes])
  }
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]))
}

/** An integer with a prefix of seven bits whose high bit is clear. */
function prefixedInteger(value: number): Buffer {
  if (value < 127) return Buffer.of(value)
  const bytes = [127]
  for (let rest = value - 127; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) {
      bytes.push(rest)
      return Buffer.from(bytes)
    }
    bytes.push((rest % 128) | 128)
  }
}

/** The header fields of a gRPC call. */
export function callHeaders(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  return headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ])
}

/** A gRPC message with its five header bytes. `length` overrides the message's true length. */
export function grpcMessage(message: Uint8Array, compressed = false, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head[0] = compressed ? 1 : 0
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

/** A received frame. */
export interface ReceivedFrame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** A plain TCP connection on which a test writes arbitrary bytes. */
export interface RawConnection {
  readonly socket: Socket
  /** All received bytes. */
  received(): Buffer
  /** The same, as frames; an unfinished one at the end is left out. */
  frames(): ReceivedFrame[]
  readonly closed: Promise<void>
  readonly isClosed: boolean
}

/** Opens a connection to `host:port`; destroyed when the test ends. */
export async function rawConnection(t: TestContext, address: string): Promise<RawConnection> {
  const [host, port] = address.split(':')
  const socket = connect(Number(port), host as string)
  cleanup(t, () => {
    socket.destroy()
  })
  const parts: Buffer[] = []
  let isClosed = false
  socket.on('data', (part: Buffer) => parts.push(part))
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      isClosed = true
      resolve()
    })
  })
  await Promise.race([new Promise((resolve) => socket.once('connect', resolve)), closed])
  return {
    socket,
    received: () => Buffer.concat(parts),
    frames: () => parseFrames(Buffer.concat(parts)),
    closed,
    get isClosed() {
      return isClosed
    },
  }
}

function parseFrames(bytes: Buffer): ReceivedFrame[] {
  const frames: ReceivedFrame[] = []
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3)
    if (at + 9 + length > bytes.length) break
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      stream: bytes.readUInt32BE(at + 5) & 0x7fffffff,
      payload: bytes.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

/** One complete call on a new connection: preface, settings, headers, then `body`. */
export function openingBytes(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  const headers = frame(frameType.headers, endHeaders, 1, callHeaders(path, more))
  return Buffer.concat([preface, emptySettings, headers])
}
