// Events to send, and names that no other test uses.

import { randomUUID } from 'node:crypto'
import type { Priority } from '../../src/gen/millrace/v1/event_pb.ts'

/** An event as a test specifies it. Omitted fields are not sent. */
export interface TestEvent {
  readonly id?: string
  readonly source?: string
  readonly type?: string
  readonly subject?: string
  readonly time?: { readonly seconds: bigint; readonly nanos: number }
  readonly data?: Uint8Array
  readonly dataContentType?: string
  readonly priority?: Priority
  readonly key?: string
  readonly attributes?: Readonly<Record<string, string>>
}

/** A new id: a UUID, so the row's key equals it. */
export function newId(): string {
  return randomUUID()
}

/** An event with a new id and a small JSON payload. */
export function order(
  number: number,
  more: TestEvent = {},
): TestEvent & { readonly id: string; readonly source: string } {
  return {
    type: 'order.placed',
    data: Buffer.from(JSON.stringify({ number })),
    ...more,
    id: more.id ?? newId(),
    source: more.source ?? '/shop',
  }
}

/** `count` such events. */
export function orders(
  count: number,
  more: TestEvent = {},
): (TestEvent & { readonly id: string; readonly source: string })[] {
  return Array.from({ length: count }, (_, number) => order(number, more))
}

/** A topic name that no other test uses. It must be declared: pass it to `startServer` in `topics`. */
export function uniqueTopic(name: string): string {
  return `${name}-${randomUUID().slice(0, 8)}`
}
