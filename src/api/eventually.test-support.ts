import { setTimeout as sleep } from 'node:timers/promises'

/** Waits until something is so; fails when it is not within ten seconds. */
export async function eventually(isSo: () => boolean | undefined, maxWaitMs = 10_000): Promise<void> {
  const until = performance.now() + maxWaitMs
  while (isSo() !== true) {
    if (performance.now() > until) throw new Error(`not so within ${maxWaitMs} ms: ${isSo}`)
    await sleep(5)
  }
}

/** Waits until a number has not changed for a while; answers it. For what must stop by itself. */
export async function settled(read: () => number, quietMs = 400): Promise<number> {
  for (let before = Number.NaN; ; ) {
    if (before === read()) return before
    before = read()
    await sleep(quietMs)
  }
}
