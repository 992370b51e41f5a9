// Publishing with the product's own client.

import type { TestContext } from 'node:test'
import { type Client, connect, type PublishEventsOptions } from '../../src/client/connect.ts'
import type { EventInput } from '../../src/event/event-input.ts'
import { Priority } from '../../src/gen/millrace/v1/event_pb.ts'
import type { PublishVerdict } from '../../src/pipeline/pipeline.ts'
import { cleanup } from './cleanup.ts'
import type { TestEvent } from './events.ts'

/** A client that finds the server again after a restart; closed when the test ends. */
export function clientOf(t: TestContext, server: { readonly grpc: string }): Client {
  const client = connect({ addresses: () => [server.grpc] })
  cleanup(t, () => client.close())
  return client
}

/** Publishes events to a topic and returns the result; throws a MillraceError if none was accepted. */
export async function publish(
  server: { readonly grpc: string },
  topic: string,
  events: readonly TestEvent[],
  options: PublishEventsOptions = {},
): Promise<PublishVerdict> {
  const client = connect({ addresses: [server.grpc] })
  try {
    return await client.publishEvents(events.map(eventInput), { topic, ...options })
  } finally {
    client.close()
  }
}

const laneOf = { [Priority.LOW]: 'low', [Priority.NORMAL]: 'normal', [Priority.HIGH]: 'high' } as const

/** Converts a test's event to the client's event type. */
export function eventInput(event: TestEvent): EventInput {
  const { type = '', time, priority, attributes = {}, ...same } = event
  return {
    ...same,
    type,
    ...(priority === undefined || priority === 0 ? {} : { lane: laneOf[priority as keyof typeof laneOf] }),
    ...(time === undefined ? {} : { timeMicros: time.seconds * 1_000_000n + BigInt(time.nanos / 1000) }),
    attributes: Object.entries(attributes),
  }
}
