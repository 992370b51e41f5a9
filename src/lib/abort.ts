// Waiting that can be cut short.

/** Resolves after the time, or at once when the signal aborts. Never rejects; the timer does not outlive it. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal?.addEventListener('abort', finish, { once: true })
  })
}

/** What the work resolves with, or `late` when it takes longer than `ms`. The work goes on; the timer does not outlive it. */
export async function withinMs<T, L>(work: Promise<T>, ms: number, late: L): Promise<T | L> {
  const finished = new AbortController()
  try {
    return await Promise.race([work, sleep(ms, finished.signal).then(() => late)])
  } finally {
    finished.abort()
  }
}
