// Open-loop pacing: the due time of each event depends on the rate only, not on when earlier events were sent.

/** How many events are due by now; the first at 0 ms. After a delay all missed events are due at once. */
export function eventsDue(elapsedMs: number, ratePerSecond: number): number {
  return Math.floor((elapsedMs * ratePerSecond) / 1000) + 1
}

/** Due time of the event with this index (from 0), in milliseconds from the start. */
export function dueAtMs(index: number, ratePerSecond: number): number {
  return (index * 1000) / ratePerSecond
}

/** Allowed share by which the events may take longer than the rate demands. */
const tolerance = 0.01
/** Allowance for a late timer, which matters when there are few events. */
const timerLatenessMs = 20

/** Whether sending this many events in this time kept the rate. */
export function keptRate(events: number, elapsedMs: number, ratePerSecond: number): boolean {
  return elapsedMs <= dueAtMs(events - 1, ratePerSecond) * (1 + tolerance) + timerLatenessMs
}
