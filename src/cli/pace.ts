// Open-loop pacing: when each event of a steady flow is due, whatever has happened to those before it.

/** How many events are due, the first at once. Being late makes more of them due, so a delay is caught up at once. */
export function eventsDue(elapsedMs: number, ratePerSecond: number): number {
  return Math.floor((elapsedMs * ratePerSecond) / 1000) + 1
}

/** When the event with this index, from 0, is due, in milliseconds from the start. */
export function dueAtMs(index: number, ratePerSecond: number): number {
  return (index * 1000) / ratePerSecond
}

/** How close to the asked rate a flow must stay. */
const tolerance = 0.01
/** What a timer may be late, so that a flow of a few events is not blamed for it. */
const timerLatenessMs = 20

/** Whether events that were sent within this time kept the rate. */
export function keptRate(events: number, elapsedMs: number, ratePerSecond: number): boolean {
  return elapsedMs <= dueAtMs(events - 1, ratePerSecond) * (1 + tolerance) + timerLatenessMs
}
