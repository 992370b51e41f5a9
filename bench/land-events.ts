// Fills the log of a data directory with events that have landed, and that a new group of a handler gets.

import { reachLanded } from './landed-counter.ts'
import { MessageFactory } from './messages.ts'
import { Generator } from './send-messages.ts'
import { roomForAll, startService } from './service.ts'

const eventsPerMessage = 100

/** Publishes at least this many events, and waits until they have landed; resolves with their number. */
export async function landEvents(
  directory: string,
  {
    events,
    payloadBytes,
    keys = 0,
  }: { readonly events: number; readonly payloadBytes: number; readonly keys?: number },
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  const service = await startService(directory, { ...env, ...roomForAll })
  const generator = new Generator(service.address, 1, new MessageFactory({ eventsPerMessage, payloadBytes, keys }))
  const maxEvents = Math.ceil(events / eventsPerMessage) * eventsPerMessage
  const { accepted } = await generator.send({ method: 'PublishStream', seconds: Number.POSITIVE_INFINITY, maxEvents })
  generator.close()
  await reachLanded(service, accepted)
  await service.stop()
  return accepted
}
