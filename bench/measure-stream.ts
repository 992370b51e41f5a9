// The measured part of every workload that sends to a running service, product or floor: warm up, then send and count.

import { setTimeout as sleep } from 'node:timers/promises'
import type { BlockResult } from './block.ts'
import { MessageFactory, type MessageShape } from './messages.ts'
import { cpuSecondsOf } from './process-usage.ts'
import { startProgram } from './program.ts'
import { Generator, type SendMethod, type SendResult } from './send-messages.ts'

export interface StreamOptions {
  readonly method: SendMethod
  readonly producers: number
  readonly eventsPerMessage: number
  readonly payloadBytes: number
  readonly warmSeconds: number
  readonly seconds: number
  /** Adds a proxy that delays each direction by half of this; undefined: no proxy. */
  readonly roundTripMs?: number
}

export interface MeasuredStream extends Pick<BlockResult, 'events' | 'seconds' | 'serviceCpuSeconds'> {
  /** All events sent, including the warm-up. */
  readonly eventsInAll: number
  readonly problems: string[]
  readonly details: Record<string, number>
}

export interface MeasureOptions {
  readonly shape?: Partial<MessageShape>
  /** Resolves when all events sent so far are done; undefined: they are done when answered. */
  readonly untilDone?: (eventsInAll: number) => Promise<unknown>
  /** CPU seconds used so far by the service and its stores; undefined: of the service's process only. */
  readonly cpuSeconds?: () => number
}

export async function measureStream(
  service: { readonly address: string; readonly pid: number; readonly key?: string | null },
  options: StreamOptions,
  { shape = {}, untilDone = async () => {}, cpuSeconds = () => cpuSecondsOf(service.pid) }: MeasureOptions = {},
): Promise<MeasuredStream> {
  const { method, producers, eventsPerMessage, payloadBytes, roundTripMs } = options
  const proxy =
    roundTripMs === undefined ? null : await startProgram('delay-proxy', [service.address, String(roundTripMs / 2)])
  const producerId = method === 'Produce' ? { producerId: `bench-${process.pid}` } : {}
  const messages = new MessageFactory({ eventsPerMessage, payloadBytes, ...producerId, ...shape })
  const generator = new Generator(proxy?.address ?? service.address, producers, messages, service.key ?? null)
  try {
    const warmUp = await generator.send({ method, seconds: options.warmSeconds })
    await untilDone(messages.events)
    await sleep(50)
    const startMs = performance.now()
    const cpuBefore = cpuSeconds()
    const ownCpuBefore = cpuSecondsOf(process.pid)
    const result = await generator.send({ method, seconds: options.seconds })
    await untilDone(messages.events)
    const seconds = (performance.now() - startMs) / 1000
    const serviceCpuSeconds = cpuSeconds() - cpuBefore
    const generatorCpuSeconds = cpuSecondsOf(process.pid) - ownCpuBefore
    return {
      events: result.accepted,
      seconds,
      serviceCpuSeconds,
      eventsInAll: messages.events,
      problems: [...unansweredProblems(warmUp), ...unansweredProblems(result)],
      details: { generatorCpuSeconds, sendSeconds: result.seconds, messageBytes: messages.messageBytes },
    }
  } finally {
    generator.close()
    await proxy?.stop()
  }
}

function unansweredProblems({ sent, accepted, dropped, rejected }: SendResult): string[] {
  if (accepted === sent) return []
  return [`${sent} events were sent: ${accepted} accepted, ${rejected} rejected, ${dropped} dropped`]
}
