// The counts of a topic's events (waiting, landed, dead), as the server reports them.

import type { LedgerLine } from './checker.ts'
import { eventually } from './eventually.ts'
import { getStatus } from './http-client.ts'

/** A server that is queried over HTTP, or one in this process, whose log is queried directly. */
export interface LedgerSource {
  readonly http: string
  ledger?(): Promise<LedgerLine[]>
}

/** The landing group's ledger line for each topic. */
export async function landingLedger(server: LedgerSource): Promise<LedgerLine[]> {
  const ledger = server.ledger === undefined ? (await getStatus(server.http)).ledger : await server.ledger()
  return ledger.filter((line) => line.group === 'landing')
}

/** `{ waiting, landed, dead }` of a topic, in events. */
export async function tally(
  server: LedgerSource,
  topic = 'events',
): Promise<{ waiting: number | null; landed: number | null; dead: number | null }> {
  const line = (await landingLedger(server)).find((candidate) => candidate.topic === topic)
  if (line === undefined) throw new Error(`there is no topic ${topic} in the ledger`)
  return { waiting: line.waiting, landed: line.landed, dead: line.dead }
}

/**
 * Waits until no topic has waiting events; returns the ledger. A status may be half a second old: only one that was
 * created after this call counts, so that it includes events published just before.
 */
export async function drained(server: LedgerSource, withinMs = 15_000): Promise<LedgerLine[]> {
  const isDirect = server.ledger !== undefined
  const old = isDirect ? null : (await getStatus(server.http)).uptime_seconds
  return eventually(
    async () => {
      if (!isDirect && (await getStatus(server.http)).uptime_seconds === old) {
        throw new Error('the status has not been refreshed yet')
      }
      const landing = await landingLedger(server)
      const waiting = landing.filter((line) => line.waiting !== 0)
      if (waiting.length > 0 || landing.length === 0) throw new Error(`still waiting: ${JSON.stringify(waiting)}`)
      return landing
    },
    { withinMs, what: 'an empty log' },
  )
}
