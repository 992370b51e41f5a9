// Waits that can end early.

/** Resolves after `ms` milliseconds, or at once if the signal aborts. Never rejects; leaves no timer running. */
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

/** Returns the result of the work, or `late` after `ms` milliseconds (the work continues). Leaves no timer running. */
export async function withinMs<T, L>(work: Promise<T>, ms: number, late: L): Promise<T | L> {
  const finished = new AbortController()
  try {
    return await Promise.race([work, sleep(ms, finished.signal).then(() => late)])
  } finally {
    finished.abort()
  }
}
