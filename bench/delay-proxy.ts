// A TCP proxy that forwards every byte after a fixed delay: it simulates a long link between client and server.
//
// Its buffers are bounded by the HTTP/2 windows of the connection that runs through it.
// Arguments: the target's `host:port`, the delay of each direction in milliseconds. Prints its address.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const [target = '', delay = '0'] = process.argv.slice(2)
const [host, port] = target.split(':')
const delayMs = Number(delay)

/** Null stands for the end of the stream. */
interface Held {
  readonly bytes: Buffer | null
  readonly dueAtMs: number
}

function carry(from: Socket, to: Socket): void {
  const held: Held[] = []
  const passOn = (): void => {
    const nowMs = performance.now()
    while (held[0] !== undefined && held[0].dueAtMs <= nowMs) {
      const { bytes } = held.shift() as Held
      if (bytes === null) to.end()
      else to.write(bytes)
    }
    if (held[0] !== undefined) setTimeout(passOn, Math.max(1, held[0].dueAtMs - nowMs))
  }
  const hold = (bytes: Buffer | null): void => {
    held.push({ bytes, dueAtMs: performance.now() + delayMs })
    if (held.length > 1) return
    if (delayMs === 0) passOn()
    else setTimeout(passOn, delayMs)
  }
  from.on('data', hold)
  from.on('end', () => hold(null))
  from.on('error', () => to.destroy())
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const upstream = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
  carry(client, upstream)
  carry(upstream, client)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`127.0.0.1:${(server.address() as AddressInfo).port}\n`))
