import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until the condition is true; fails when it is not within `maxWaitMs`. */
export async function eventually(isSo: () => boolean | undefined, maxWaitMs = 10_000): Promise<void> {
  const until = performance.now() + maxWaitMs
  while (isSo() !== true) {
    if (performance.now() > until) throw new Error(`not true within ${maxWaitMs} ms: ${isSo}`)
    await sleep(5)
  }
}

/** Waits until a number has not changed for `quietMs`; returns it. */
export async function settled(read: () => number, quietMs = 400): Promise<number> {
  for (let before = Number.NaN; ; ) {
    if (before === read()) return before
    before = read()
    await sleep(quietMs)
  }
}
