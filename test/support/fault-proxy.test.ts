import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cleanup } from './cleanup.ts'
import { eventually, within } from './eventually.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

/** An echo server behind a proxy. */
async function echo(t: TestContext): Promise<{ proxy: FaultProxy; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup(t, async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const proxy = await startFaultProxy(t, () => `127.0.0.1:${(server.address() as AddressInfo).port}`)
  return { proxy, sockets }
}

interface Dialled {
  readonly socket: Socket
  /** Resolves when the connection is closed: with the error's code, or null if it closed without an error. */
  readonly gone: Promise<string | null>
}

async function dial(t: TestContext, proxy: FaultProxy): Promise<Dialled> {
  const [host, port] = proxy.address.split(':')
  const socket = connect(Number(port), host as string)
  cleanup(t, () => {
    socket.destroy()
  })
  let code: string | null = null
  const gone = new Promise<string | null>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message
    })
    socket.on('close', () => resolve(code))
  })
  await Promise.race([once(socket, 'connect').catch(() => {}), gone])
  return { socket, gone }
}

async function read(socket: Socket, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let got = 0
  while (got < length) {
    const [part] = (await once(socket, 'data')) as [Buffer]
    parts.push(part)
    got += part.length
  }
  return Buffer.concat(parts)
}

test('without faults every byte comes back in order, followed by the end of the stream', async (t) => {
  const { proxy } = await echo(t)
  const { socket } = await dial(t, proxy)
  const sent = Buffer.alloc(3_000_000, 'abcdefg')
  socket.write(sent)
  assert.deepEqual(await within(5000, 'the echo', read(socket, sent.length)), sent)
  socket.end()
  await within(2000, 'the end', once(socket, 'end'))
  await eventually(() => assert.equal(proxy.open, 0))
  assert.equal(proxy.bytesUp, sent.length)
  assert.equal(proxy.bytesDown, sent.length)
})

test('a delay adds latency without reducing throughput', async (t) => {
  const { proxy } = await echo(t)
  const { socket } = await dial(t, proxy)
  proxy.up.delayMs = 120
  const startedAt = performance.now()
  const echoed = read(socket, 20_000)
  for (let count = 0; count < 20; count++) {
    socket.write(Buffer.alloc(1000))
    await sleep(2)
  }
  await within(2000, 'the echo', echoed)
  const tookMs = performance.now() - startedAt
  assert.ok(tookMs >= 119 && tookMs < 700, `20 consecutive writes took ${tookMs} ms, not 20 times the delay`)
})

test('a throttle limits the bytes per second', async (t) => {
  const { proxy } = await echo(t)
  const { socket } = await dial(t, proxy)
  proxy.down.bytesPerSecond = 100_000
  const startedAt = performance.now()
  const echoed = read(socket, 60_000)
  for (let count = 0; count < 30; count++) {
    socket.write(Buffer.alloc(2000))
    await sleep(1)
  }
  await within(5000, 'the echo', echoed)
  assert.ok(performance.now() - startedAt > 300, 'the bytes arrived too fast')
})

test('a cut resets both ends', async (t) => {
  const { proxy, sockets } = await echo(t)
  const { socket, gone } = await dial(t, proxy)
  socket.write('x')
  await read(socket, 1)
  proxy.cut()
  assert.equal(await within(1000, 'the reset', gone), 'ECONNRESET')
  await eventually(() => assert.equal(sockets.size, 0))
  assert.equal(proxy.open, 0)
})

test('a cut after n bytes passes n bytes and then resets', async (t) => {
  const { proxy } = await echo(t)
  const { socket, gone } = await dial(t, proxy)
  proxy.cutAfterBytesUp(10)
  socket.write('12345')
  assert.equal((await read(socket, 5)).toString(), '12345')
  socket.write('678901')
  assert.equal(await within(1000, 'the reset', gone), 'ECONNRESET')
})

test('a blocked direction carries nothing while the other one works, and both work afterwards', async (t) => {
  const { proxy, sockets } = await echo(t)
  const { socket } = await dial(t, proxy)
  socket.write('a')
  await read(socket, 1)
  proxy.down.blocked = true
  const late = read(socket, 1)
  socket.write('b')
  await eventually(() => assert.equal(proxy.bytesUp, 2))
  await assert.rejects(within(150, 'the echo', late))
  assert.equal(sockets.size, 1)
  proxy.heal()
  assert.equal((await within(1000, 'the echo', late)).toString(), 'b')
})

test('while a direction is blocked, the other end does not learn of a closed connection', async (t) => {
  const { proxy, sockets } = await echo(t)
  const { socket } = await dial(t, proxy)
  socket.write('a')
  await read(socket, 1)
  proxy.up.blocked = true
  proxy.down.blocked = true
  socket.resetAndDestroy()
  await sleep(100)
  assert.equal(sockets.size, 1, 'the server noticed that its client is gone')
  proxy.heal()
  await eventually(() => assert.equal(sockets.size, 0))
})

test('a refusing proxy resets new connections and keeps the old ones', async (t) => {
  const { proxy } = await echo(t)
  const { socket: old } = await dial(t, proxy)
  proxy.refuse = true
  const refused = await dial(t, proxy)
  assert.equal(await within(1000, 'the reset', refused.gone), 'ECONNRESET')
  old.write('x')
  assert.equal((await read(old, 1)).toString(), 'x')
})
