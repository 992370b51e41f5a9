// How much of a turn each lane may fill: most for urgent lanes, but some for every lane, so that none is starved.

import { type Lane, lanes } from '../event/event.ts'

/** The guaranteed share of each lane when all of them have work. */
const shareOfLane: Readonly<Record<Lane, number>> = { high: 0.85, normal: 0.1, low: 0.05 }

/**
 * Splits a turn among the lanes. The lanes that had work in the last turn share all of it in proportion. An idle lane
 * is still offered its own share, so that its first events need not wait; therefore the sum can exceed `maxEvents`.
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
