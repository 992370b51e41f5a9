// One answer of a long poll: the frames that come within its wait, at once when there are some. What comes between two
// calls is read from the log by the second one.

import { withinMs } from '../../lib/abort.ts'
import type { LiveFrame, LiveSubscription } from '../../pipeline/live.ts'
import { gapJson } from './gap-json.ts'
import { liveEventJson } from './live-event-json.ts'

/** An answer ends with the frame that reaches this size, in characters. */
const maxAnswerLength = 1024 * 1024

/** For what was accepted before the call: a call that waits for nothing gets it too. */
const maxCatchUpMs = 10_000

/** What follows the first events so closely goes with them: fewer calls read the same. */
const maxGatherMs = 10

export interface LongPollAnswer {
  /** JSON text of each frame; empty when nothing came but that the feed was caught up with. */
  readonly frames: readonly string[]
  /** Where the next call goes on. */
  readonly cursor: string
}

/** Rejects with the error of the subscription; then nothing is lost, as the caller still has the cursor before. */
export async function longPoll(subscription: LiveSubscription, topic: string, waitMs: number): Promise<LongPollAnswer> {
  const startMs = performance.now()
  const frames: string[] = []
  let { startCursor: cursor } = subscription
  let length = 0
  let firstNewsMs: number | null = null
  let isCaughtUp = false
  while (length < maxAnswerLength) {
    const longestMs = isCaughtUp ? waitMs : Math.max(waitMs, maxCatchUpMs)
    const untilMs: number = firstNewsMs === null ? startMs + longestMs : firstNewsMs + maxGatherMs
    const frame: LiveFrame | null = await withinMs(subscription.next(), Math.max(0, untilMs - performance.now()), null)
    if (frame === null) break
    cursor = frame.cursor
    isCaughtUp ||= frame.is === 'caught_up'
    if (frame.is !== 'caught_up' && frame.is !== 'progress') firstNewsMs ??= performance.now()
    for (const text of jsonOf(frame, topic)) {
      frames.push(text)
      length += text.length
    }
    if (frame.is === 'reconnect') break
  }
  return { frames: firstNewsMs === null ? [] : frames, cursor }
}

function jsonOf(frame: LiveFrame, topic: string): string[] {
  switch (frame.is) {
    case 'events':
      return frame.events.map(({ bytes }) => `{"event":${liveEventJson(bytes, topic)}}`)
    case 'gap':
      return [JSON.stringify({ gap: gapJson(frame) })]
    case 'caught_up':
      return ['{"caught_up":{}}']
    case 'progress':
      return []
    case 'reconnect':
      return [JSON.stringify({ reconnect: { after_ms: frame.afterMs } })]
  }
}
