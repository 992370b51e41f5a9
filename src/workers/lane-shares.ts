// How much of a turn each lane may fill: the urgent ones first, yet none is ever starved.

import { type Lane, lanes } from '../event/event.ts'

/** What each lane is sure of when all of them have work, as parts of the turn. */
const shareOfLane: Readonly<Record<Lane, number>> = { high: 0.85, normal: 0.1, low: 0.05 }

/**
 * Splits a turn among the lanes. A lane that had work in the last turn gets its share of what the idle ones leave; an idle
 * one is still offered its own share, so that its first events need not wait. The sum may pass `maxEvents` by that.
 * @param hadWork which lanes had work in the last turn.
 */
export function splitTurn(maxEvents: number, hadWork: ReadonlySet<Lane>): Record<Lane, number> {
  const busyShare = lanes.reduce((sum, lane) => sum + (hadWork.has(lane) ? shareOfLane[lane] : 0), 0)
  const eventsOf = (lane: Lane) => {
    const share = hadWork.has(lane) ? shareOfLane[lane] / busyShare : shareOfLane[lane]
    return Math.max(1, Math.floor(maxEvents * share))
  }
  return { high: eventsOf('high'), normal: eventsOf('normal'), low: eventsOf('low') }
}
