// W4: many subscribers over SSE that match nothing, or match everything and read nothing: the memory that each of them
// takes when nothing is published, and what they cost those who publish.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { runBlock } from '../block.ts'
import { measureStream } from '../measure-stream.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { ingestOnly, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface IdleSubscribersOptions {
  readonly subscribers: number
  /** Without a filter, and they never read. Otherwise each has a filter of its own that nothing matches. */
  readonly areStuck: boolean
  readonly payloadBytes: number
  /** How long the CPU time at rest is measured, and each rate of publishing. */
  readonly seconds: number
}

/** A server takes 1,000 connections from one address. */
const subscribersPerAddress = 900
const joiningAtOnce = 50
const settleMs = 3000

await runBlock((options: IdleSubscribersOptions) =>
  withTempDirectory(async (directory) => {
    const { subscribers: count, areStuck, payloadBytes, seconds } = options
    // Else most of it would be what the requests have left for the garbage collector.
    const service = await startService(directory, ingestOnly, ['--max-semi-space-size=1'])
    const publish = () =>
      measureStream(service, {
        method: 'PublishStream',
        producers: 1,
        eventsPerMessage: 100,
        payloadBytes,
        warmSeconds: seconds / 2,
        seconds,
      })
    const sockets: Socket[] = []
    const join = async (until: number) => {
      while (sockets.length < until) {
        const joining = Array.from({ length: Math.min(joiningAtOnce, until - sockets.length) }, (_, index) =>
          subscribe(service.http, sockets.length + index, areStuck),
        )
        sockets.push(...(await Promise.all(joining)))
      }
      await sleep(settleMs)
    }
    const alone = await publish()
    // The first ones make what all of them share.
    await join(count / 10)
    const [rssBytes, kernelBytes] = [service.rssBytes, socketBytes()]
    await join(count)
    const added = (9 * count) / 10
    const rssKibibytesEach = (service.rssBytes - rssBytes) / added / 1024
    const kernelKibibytesEach = (socketBytes() - kernelBytes) / added / 1024
    const cpuBefore = cpuSecondsOf(service.pid)
    await sleep(1000 * seconds)
    const idleCpuSeconds = cpuSecondsOf(service.pid) - cpuBefore
    // Until their connections take no more.
    if (areStuck) await publish()
    const beside = await publish()
    const closed = sockets.filter(({ destroyed }) => destroyed).length
    for (const socket of sockets) socket.destroy()
    await service.stop()
    const rate = ({ events, seconds: took }: typeof alone) => events / took
    return {
      ...{ events: count, seconds, serviceCpuSeconds: idleCpuSeconds, durability: 'disk' as const },
      problems: [...alone.problems, ...beside.problems, ...(closed > 0 ? [`${closed} streams were closed`] : [])],
      details: {
        rssKibibytesEach,
        kernelKibibytesEach,
        cpuPercent: (100 * idleCpuSeconds) / seconds,
        publishTimes: rate(alone) / rate(beside),
        aloneEventsPerSecond: rate(alone),
        besideEventsPerSecond: rate(beside),
      },
    }
  }),
)

async function subscribe(http: string, index: number, isStuck: boolean): Promise<Socket> {
  const [host, port] = http.split(':') as [string, string]
  const localAddress = `127.0.0.${2 + Math.floor(index / subscribersPerAddress)}`
  const socket = connect({ host, port: Number(port), localAddress })
  socket.write(`GET /v1/events/live${isStuck ? '' : `?type=other.${index}`} HTTP/1.1\r\nHost: ${http}\r\n\r\n`)
  const [answer] = await once(socket, 'data')
  if (!String(answer).startsWith('HTTP/1.1 200')) throw new Error(`the server answered ${answer}`)
  if (isStuck) socket.pause()
  else socket.resume()
  return socket
}

/** Memory of all TCP sockets of the machine. */
function socketBytes(): number {
  const pages = /^TCP:.* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1]
  return Number(pages) * 4096
}
