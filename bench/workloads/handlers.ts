// W7: handlers that do nothing, at least once, on events that have landed before: the log, the pool and the settling
// alone. The first quarter warms up.

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runBlock } from '../block.ts'
import { landEvents } from '../land-events.ts'
import { readNote } from '../notes.ts'
import { onLog } from '../on-log.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { startProgram } from '../program.ts'
import { roomForAll, type Service, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface HandlersOptions {
  readonly log: 'embedded' | 'redis'
  readonly events: number
  readonly payloadBytes: number
  readonly concurrency: number
  /** Max events of a call; 1: a handler of single events. */
  readonly batchEvents: number
  /** Whether the handler is in a process of its own, a worker. */
  readonly isRemote: boolean
  /** The limits of the group. */
  readonly limits: Readonly<Record<string, number>>
  /** How many keys the events have in turn; 0: none. */
  readonly keys: number
}

const handler = fileURLToPath(new URL('./no-op-handler.ts', import.meta.url))

await runBlock((options: HandlersOptions) =>
  withTempDirectory((directory) =>
    onLog(directory, options.log, (env, brokerCpuSeconds) => measure(directory, options, env, brokerCpuSeconds)),
  ),
)

async function measure(
  directory: string,
  options: HandlersOptions,
  env: Readonly<Record<string, string>>,
  brokerCpuSeconds: () => number,
) {
  const events = await landEvents(directory, options, env)
  const { concurrency, batchEvents, isRemote, limits } = options
  const handlerEnv = {
    ...{ BENCH_EVENTS: String(events), BENCH_DIRECTORY: directory, BENCH_BATCH_EVENTS: String(batchEvents) },
    BENCH_LIMITS: JSON.stringify(limits),
  }
  const local = { ...handlerEnv, MILLRACE_HANDLERS: handler, MILLRACE_WORKER_CONCURRENCY: String(concurrency) }
  const service = await startService(directory, { ...env, ...roomForAll, ...(isRemote ? {} : local) })
  const worker = isRemote
    ? await startProgram('no-op-worker', [service.address, String(concurrency)], handlerEnv)
    : null
  const warm = await readNote(directory, 'warm')
  const othersCpuSeconds = () => brokerCpuSeconds() + (isRemote ? cpuSecondsOf(service.pid) : 0)
  const before = othersCpuSeconds()
  const done = await readNote(directory, 'done')
  const cpuSeconds = done.cpuSeconds - warm.cpuSeconds + othersCpuSeconds() - before
  const problems = await unsettledProblems(service, events)
  await worker?.stop()
  await service.stop()
  return {
    events: events - Math.ceil(events / 4),
    seconds: (done.atMs - warm.atMs) / 1000,
    serviceCpuSeconds: cpuSeconds,
    problems,
    details: { concurrency, batchEvents },
  }
}

/** The problems of the ledger of the handler's group; empty when every event is settled as done. */
async function unsettledProblems(service: Service, events: number): Promise<string[]> {
  for (let look = 0; look < 100; look++) {
    const line = (await service.status()).ledger.find(({ group }) => group === 'bench')
    if (line?.landed === events && line.waiting === 0 && line.balanced !== false) return []
    await sleep(100)
  }
  return ['not every event is settled 10 s after the last one was handled']
}
