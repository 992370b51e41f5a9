// Fills a data directory's log with messages that wait to land.

import { MessageFactory, type MessageShape } from './messages.ts'
import { Generator } from './send-messages.ts'
import { ingestOnly, type Service, startService } from './service.ts'

/** Starts a server without landing and publishes at least this many events; resolves with their number and the server. */
export async function fillLog(
  dataDir: string,
  events: number,
  shape: MessageShape,
): Promise<{ readonly events: number; readonly service: Service }> {
  const service = await startService(dataDir, ingestOnly)
  const messages = new MessageFactory(shape)
  const generator = new Generator(service.address, 1, messages)
  const { eventsPerMessage } = shape
  const maxEvents = Math.ceil(events / eventsPerMessage) * eventsPerMessage
  const seconds = Number.POSITIVE_INFINITY
  const { accepted } = await generator.send({ method: 'PublishStream', seconds, maxEvents })
  generator.close()
  if (accepted !== maxEvents) throw new Error(`only ${accepted} of ${maxEvents} events were accepted`)
  return { events: accepted, service }
}
