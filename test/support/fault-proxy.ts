// A TCP proxy that simulates a bad network: it delays, throttles, resets, refuses, or blocks one direction or both.
//
// Job: simulate network faults on a connection, whatever its protocol.
// Not its job: faults of one protocol (raw-http2.ts).

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { TestContext } from 'node:test'
import { cleanup } from './cleanup.ts'

/** Faults of one direction. */
export interface DirectionFaults {
  /** Each byte arrives this much later, in milliseconds. */
  delayMs: number
  /** Maximum bytes per second; null is no limit. */
  bytesPerSecond: number | null
  /** Nothing passes, neither bytes nor the end of the connection, as with an unplugged cable. */
  blocked: boolean
}

const noFaults: DirectionFaults = { delayMs: 0, bytesPerSecond: null, blocked: false }

/** Bytes that one direction buffers before it stops reading from its sender. */
const maxHeldBytes = 8 * 1024 * 1024

/** A running proxy. Faults apply to open and to future connections. */
export interface FaultProxy {
  /** `127.0.0.1:port`: connect here instead of to the target. */
  readonly address: string
  /** From the client to the target. */
  readonly up: DirectionFaults
  /** From the target to the client. */
  readonly down: DirectionFaults
  /** Whether new connections are reset immediately. */
  refuse: boolean
  /** How many connections are open now, and how many there have been. */
  readonly open: number
  readonly total: number
  /** Bytes sent to the target and received from it. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Resets every open connection, on both sides. */
  cut(): void
  /** Resets every connection after this many more bytes to the target. */
  cutAfterBytesUp(bytes: number): void
  /**
   * Calls `decide` with each chunk before it goes to the target. `cut`: the chunk is dropped and every connection is
   * reset. `silence`: the chunk arrives, and nothing comes back any more. Ends with the first chunk that does not pass.
   */
  interceptUp(decide: (bytes: Buffer) => 'pass' | 'cut' | 'silence'): void
  /** Ends all faults. */
  heal(): void
}

/** Starts a proxy in front of `target` (`host:port`), which may move while the proxy runs. Closed when the test ends. */
export async function startFaultProxy(t: TestContext, target: () => string): Promise<FaultProxy> {
  const links = new Set<Link>()
  const state = { refuse: false, total: 0, bytesUp: 0, bytesDown: 0, cutAtBytesUp: Number.POSITIVE_INFINITY }
  let decideUp: ((bytes: Buffer) => 'pass' | 'cut' | 'silence') | null = null
  const up = { ...noFaults }
  const down = { ...noFaults }
  const cut = (): void => {
    for (const link of links) link.cut()
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    state.total++
    if (state.refuse) {
      client.resetAndDestroy()
      return
    }
    const link: Link = new Link(client, target(), {
      up,
      down,
      mayPassUp: (bytes) => {
        const decision = decideUp?.(bytes) ?? 'pass'
        if (decision === 'pass') return true
        decideUp = null
        if (decision === 'silence') down.blocked = true
        else cut()
        return decision === 'silence'
      },
      passedUp: (bytes) => {
        state.bytesUp += bytes
        if (state.bytesUp < state.cutAtBytesUp) return
        state.cutAtBytesUp = Number.POSITIVE_INFINITY
        cut()
      },
      passedDown: (bytes) => {
        state.bytesDown += bytes
      },
      closed: () => links.delete(link),
    })
    links.add(link)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup(t, async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    cut()
    await closed
  })

  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    up,
    down,
    get refuse() {
      return state.refuse
    },
    set refuse(refuse) {
      state.refuse = refuse
    },
    get open() {
      return links.size
    },
    get total() {
      return state.total
    },
    get bytesUp() {
      return state.bytesUp
    },
    get bytesDown() {
      return state.bytesDown
    },
    cut,
    cutAfterBytesUp: (bytes) => {
      state.cutAtBytesUp = state.bytesUp + bytes
    },
    interceptUp: (decide) => {
      decideUp = decide
    },
    heal: () => {
      decideUp = null
      Object.assign(up, noFaults)
      Object.assign(down, noFaults)
      state.refuse = false
      state.cutAtBytesUp = Number.POSITIVE_INFINITY
      for (const link of links) link.wake()
    },
  }
}

interface LinkOptions {
  readonly up: DirectionFaults
  readonly down: DirectionFaults
  readonly mayPassUp: (bytes: Buffer) => boolean
  readonly passedUp: (bytes: number) => void
  readonly passedDown: (bytes: number) => void
  readonly closed: () => void
}

/** A client's connection and the matching connection to the target. */
class Link {
  readonly #client: Socket
  readonly #target: Socket
  readonly #directions: readonly [Direction, Direction]
  readonly #options: LinkOptions

  constructor(client: Socket, target: string, options: LinkOptions) {
    this.#options = options
    this.#client = client
    const [host, port] = target.split(':')
    this.#target = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
    client.setNoDelay(true)
    this.#directions = [
      new Direction(client, this.#target, options.up, options.passedUp, options.mayPassUp),
      new Direction(this.#target, client, options.down, options.passedDown),
    ]
    this.#join(client, options.up)
    this.#join(this.#target, options.down)
  }

  /** A reset of one end resets the other, unless the direction is blocked: then the other end does not notice. */
  #join(from: Socket, faults: DirectionFaults): void {
    from.on('error', () => {
      if (!faults.blocked) this.cut()
    })
    from.on('close', () => {
      if (this.#client.destroyed && this.#target.destroyed) this.#options.closed()
    })
  }

  cut(): void {
    for (const direction of this.#directions) direction.stop()
    this.#client.resetAndDestroy()
    this.#target.resetAndDestroy()
    this.#options.closed()
  }

  /** Resumes after faults have ended; connections reset in the meantime are now reset on the other side. */
  wake(): void {
    if (this.#client.destroyed || this.#target.destroyed) this.cut()
    else for (const direction of this.#directions) direction.wake()
  }
}

/** Carries bytes from one socket to the other, in order, no earlier than the faults allow. */
class Direction {
  readonly #from: Socket
  readonly #to: Socket
  readonly #faults: DirectionFaults
  readonly #passed: (bytes: number) => void
  readonly #mayPass: (bytes: Buffer) => boolean
  /** Null is the end of the stream. */
  readonly #held: { readonly bytes: Buffer | null; readonly arrivedAtMs: number }[] = []
  #heldBytes = 0
  /** When the last bytes passed. */
  #freeAtMs = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(
    from: Socket,
    to: Socket,
    faults: DirectionFaults,
    passed: (bytes: number) => void,
    mayPass: (bytes: Buffer) => boolean = () => true,
  ) {
    this.#from = from
    this.#to = to
    this.#faults = faults
    this.#passed = passed
    this.#mayPass = mayPass
    from.on('data', (bytes: Buffer) => this.#take(bytes))
    from.on('end', () => this.#take(null))
    to.on('drain', () => this.wake())
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #take(bytes: Buffer | null): void {
    this.#held.push({ bytes, arrivedAtMs: performance.now() })
    this.#heldBytes += bytes?.length ?? 0
    if (this.#heldBytes > maxHeldBytes) this.#from.pause()
    this.wake()
  }

  /** Forwards the bytes that are due, and sets a timer for the rest. */
  wake(): void {
    clearTimeout(this.#timer)
    while (!this.#stopped && !this.#to.writableNeedDrain) {
      const head = this.#held[0]
      if (head === undefined) return
      const now = performance.now()
      const dueAtMs = Math.max(head.arrivedAtMs + this.#faults.delayMs, this.#freeAtMs) + this.#sendMs(head.bytes)
      // A blocked direction polls, so that it notices a fault that is cleared by setting its fields.
      if (this.#faults.blocked || dueAtMs > now) {
        this.#timer = setTimeout(() => this.wake(), this.#faults.blocked ? 20 : Math.max(1, dueAtMs - now))
        return
      }
      this.#held.shift()
      this.#pass(head.bytes, now)
    }
  }

  /** Transmission time of the bytes: the last one arrives after it. */
  #sendMs(bytes: Buffer | null): number {
    const { bytesPerSecond } = this.#faults
    return bytes === null || bytesPerSecond === null ? 0 : (bytes.length * 1000) / bytesPerSecond
  }

  #pass(bytes: Buffer | null, now: number): void {
    if (bytes === null) {
      this.#to.end()
      return
    }
    this.#heldBytes -= bytes.length
    if (!this.#mayPass(bytes)) return
    if (this.#heldBytes <= maxHeldBytes) this.#from.resume()
    this.#freeAtMs = now
    if (this.#to.writable) this.#to.write(bytes)
    this.#passed(bytes.length)
  }
}
