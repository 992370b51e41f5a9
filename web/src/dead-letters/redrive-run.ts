// A redrive of all letters of a filter: call after call, each from where the one before ended.

import { useEffect, useRef, useState } from 'react'
import { api, type RedriveAnswer } from '../api.ts'

export interface Progress {
  readonly redriven: number
  readonly skipped: number
  readonly failedAgain: number
}

export type Run =
  | { readonly is: 'idle' }
  | ({ readonly is: 'running' | 'done' } & Progress)
  /** By the person: what the call under way has sent is not counted. */
  | ({ readonly is: 'interrupted' } & Progress)
  /** By the server, which says why. */
  | ({ readonly is: 'stopped'; readonly reason: string } & Progress)
  | ({ readonly is: 'failed'; readonly problem: Error } & Progress)

const none: Progress = { redriven: 0, skipped: 0, failedAgain: 0 }

/** It is interrupted when the component goes. */
export function useRedriveRun(conditions: object): {
  readonly run: Run
  readonly start: (rate: number) => Promise<void>
  readonly interrupt: () => void
} {
  const [run, setRun] = useState<Run>({ is: 'idle' })
  const working = useRef<AbortController | null>(null)
  useEffect(() => () => working.current?.abort(), [])
  const start = async (rate: number) => {
    const controller = new AbortController()
    working.current = controller
    const { signal } = controller
    let sum = none
    let cursor: string | null = null
    setRun({ is: 'running', ...sum })
    try {
      do {
        const given: object = cursor === null ? { ...conditions, rate } : { ...conditions, rate, cursor }
        const answer: RedriveAnswer = await api.redrive(given, signal)
        sum = {
          redriven: sum.redriven + answer.redriven,
          skipped: sum.skipped + answer.skipped,
          failedAgain: sum.failedAgain + answer.failed_again,
        }
        if (answer.stopped !== null) return setRun({ is: 'stopped', reason: answer.stopped, ...sum })
        cursor = answer.next_cursor
        setRun({ is: cursor === null ? 'done' : 'running', ...sum })
      } while (cursor !== null)
    } catch (thrown) {
      setRun(signal.aborted ? { is: 'interrupted', ...sum } : { is: 'failed', problem: thrown as Error, ...sum })
    }
  }
  return { run, start, interrupt: () => working.current?.abort() }
}
