// The connections of the gRPC server, and what each of them may do.
//
// Job: accept sockets ourselves and hand them to grpc-js, which has no limits of its own: how many connections, how long
// one may be silent before its first request, how often it may ping. Raise the HTTP/2 windows. Mark compressed requests.
// Not its job: keepalive, idle time and streams per connection (options of grpc-js, grpc-server.ts).

import {
  constants,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { type ConnectionInjector, type Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import type { GaugeSeries } from '../../telemetry/metric-family.ts'
import type { ConnectionLimits } from '../connection-limits.ts'
import { PingAllowance } from './ping-allowance.ts'

/**
 * grpc-js leaves both windows at 64 KB, which caps a producer at 64 KB for each round trip. A stream gets half of what its
 * connection gets. (At 50 ms and 100 events in a message: 3.8k events/s with 64 KB, 38k with 1 MiB a stream, 208k with
 * 6 MiB, 365k with 12 MiB.) They are also what an unread connection can hold in memory, so where there are many each gets less.
 */
const maxConnectionWindowBytes = 24 * 1024 * 1024
const minConnectionWindowBytes = 1024 * 1024
const windowBudgetBytes = 256 * 1024 * 1024

/** Carries the name of an encoding from here to the call guard: grpc-js keeps the header to itself. */
export const refusedEncodingHeader = 'millrace-refused-encoding'

export interface GrpcConnectionOptions {
  readonly limits: ConnectionLimits
  readonly open: GaugeSeries
  readonly maxSilentMs: number
}

export class GrpcConnections {
  readonly listener: Server
  readonly #options: GrpcConnectionOptions
  readonly #injector: ConnectionInjector
  readonly #http2Server: Http2Server
  readonly #sockets = new Set<Socket>()
  readonly #pings = new Map<string, PingAllowance>()

  constructor(server: GrpcServer, options: GrpcConnectionOptions) {
    this.#options = options
    options.open.set(0)
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure())
    this.#http2Server = http2ServerOf(server)
    this.listener = createServer((socket) => this.#accept(socket))
  }

  /** Told that a call has sent something to a peer: a peer that is answered may ping as often as it likes. */
  noteAnswer(peer: string): void {
    this.#pings.get(peer)?.reset()
  }

  /** Accepts no more connections; resolves when the last of those that are open has closed. */
  stopListening(): Promise<void> {
    return new Promise((resolve) => this.listener.close(() => resolve()))
  }

  /** Closes what is still open, without waiting. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(socket: Socket): void {
    if (!this.#options.limits.admit(socket)) return
    this.#sockets.add(socket)
    this.#options.open.set(this.#sockets.size)
    const session = this.#injectedSession(socket)
    const silence = setTimeout(() => session.destroy(), this.#options.maxSilentMs)
    const pings = new PingAllowance()
    const peer = `${socket.remoteAddress}:${socket.remotePort}`
    this.#pings.set(peer, pings)
    const countFrame = () => {
      if (pings.take(performance.now()) || session.destroyed) return
      // Without an error Node takes the code for NO_ERROR.
      session.destroy(new Error('too many pings'), constants.NGHTTP2_ENHANCE_YOUR_CALM)
    }
    session.once('connect', () => raiseWindows(session, this.#sockets.size))
    session.once('stream', () => clearTimeout(silence))
    // Ahead of the listener that hands the stream to grpc-js.
    session.prependListener('stream', markCompressed)
    session.on('ping', countFrame)
    session.on('remoteSettings', countFrame)
    socket.once('close', () => {
      clearTimeout(silence)
      this.#pings.delete(peer)
      this.#sockets.delete(socket)
      this.#options.open.set(this.#sockets.size)
    })
  }

  #injectedSession(socket: Socket): ServerHttp2Session {
    let session: ServerHttp2Session | undefined
    this.#http2Server.once('session', (made) => {
      session = made
    })
    this.#injector.injectConnection(socket)
    if (session === undefined) throw new Error('grpc-js has not made a session of the connection')
    return session
  }
}

/** There is no public way to it. The version of grpc-js is pinned, and a server that lacks it fails at its start. */
function http2ServerOf(server: GrpcServer): Http2Server {
  const servers = Reflect.get(server, 'http2Servers') as Map<Http2Server, unknown> | undefined
  const [http2Server] = servers?.keys() ?? []
  if (http2Server === undefined) throw new Error('grpc-js does not show its HTTP/2 server any more')
  return http2Server
}

function raiseWindows(session: ServerHttp2Session, connections: number): void {
  if (session.destroyed) return
  const share = Math.floor(windowBudgetBytes / connections)
  const windowBytes = Math.max(minConnectionWindowBytes, Math.min(maxConnectionWindowBytes, share))
  session.setLocalWindowSize(windowBytes)
  // This one key only: with all of localSettings the peer ends the connection with a protocol error.
  session.settings({ initialWindowSize: windowBytes >>> 1 })
}

/**
 * Takes the encoding away from grpc-js, which would inflate whatever it is given before anyone could refuse it.
 */
function markCompressed(_stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const encoding = headers['grpc-encoding']
  delete headers[refusedEncodingHeader]
  if (encoding === undefined || encoding === 'identity') return
  headers[refusedEncodingHeader] = String(encoding)
  delete headers['grpc-encoding']
}
