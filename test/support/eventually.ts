// Waits for a condition, with a deadline.

import { setTimeout as sleep } from 'node:timers/promises'

export interface EventuallyOptions {
  /** Longest wait in milliseconds. The default, 30 s, is for a machine that runs other tests beside; a promise has its own. */
  readonly withinMs?: number
  /** Pause between two checks, in milliseconds. By default it is 20, and grows with the wait if checks are asynchronous. */
  readonly everyMs?: number
  /** What is awaited, named in the error on timeout. */
  readonly what?: string
}

/** Runs the check until it does not throw and resolves with what it returned; throws the last failure at the deadline. */
export async function eventually<T>(check: () => T | Promise<T>, options: EventuallyOptions = {}): Promise<T> {
  const { withinMs = 30_000, everyMs, what = 'the condition' } = options
  const began = performance.now()
  const deadline = began + withinMs
  for (;;) {
    let isAsynchronous = false
    try {
      const checking = check()
      isAsynchronous = checking instanceof Promise
      return await checking
    } catch (failure) {
      if (performance.now() >= deadline) {
        const reason = failure instanceof Error ? failure.message : String(failure)
        throw new Error(`waited ${withinMs} ms for ${what}; last failure: ${reason}`, { cause: failure })
      }
    }
    await sleep(everyMs ?? (isAsynchronous ? growingPauseMs(performance.now() - began) : shortestPauseMs))
  }
}

const shortestPauseMs = 20

/** A request costs milliseconds of CPU, in the server too, and being late by a tenth of the wait costs none. */
function growingPauseMs(waitedMs: number): number {
  return Math.min(100, Math.max(shortestPauseMs, waitedMs / 10))
}

/** Settles like the promise, or rejects after `ms`. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
