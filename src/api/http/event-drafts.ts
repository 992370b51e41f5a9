// Collects the events of one message while a body is read: encoded events for the pipeline, and rejections.
//
// Job: keep each event's index in the caller's request, so that every rejection has that index, wherever it was made.

import type { ErrorCode } from '../../errors.ts'
import { BatchBuilder, type EventParts } from '../../event/record-batch.ts'
import type { PublishVerdict, Rejection } from '../../pipeline/pipeline.ts'
import { atIndexes } from '../../pipeline/rejections.ts'

/** A message for the pipeline, and what is needed to convert its verdict. */
export interface Draft {
  readonly message: Uint8Array
  /** For each event of the message its index in the caller's request. */
  readonly indexes: readonly number[]
  /** Rejections of events that are not in the message. */
  readonly rejections: readonly Rejection[]
}

export class EventDrafts {
  readonly #builder = new BatchBuilder()
  #indexes: number[] = []
  #rejections: Rejection[] = []

  /** The number of events in the message. */
  get count(): number {
    return this.#indexes.length
  }

  get byteLength(): number {
    return this.#builder.byteLength
  }

  get isEmpty(): boolean {
    return this.#indexes.length === 0 && this.#rejections.length === 0
  }

  add(index: number, event: EventParts): void {
    this.#builder.add(event)
    this.#indexes.push(index)
  }

  refuse(index: number, id: string, message: string, code: ErrorCode = 'invalid_event'): void {
    this.#rejections.push({ index, id, code, message })
  }

  /** Returns everything so far and resets. */
  take(): Draft {
    const draft = { message: this.#builder.take(), indexes: this.#indexes, rejections: this.#rejections }
    this.#indexes = []
    this.#rejections = []
    return draft
  }
}

/** The verdict on the caller's request: the pipeline's verdict together with the earlier rejections. */
export function verdictOnDraft(draft: Omit<Draft, 'message'>, verdict: PublishVerdict): PublishVerdict {
  const theirs = verdict.rejections.flatMap((rejection) => [...atIndexes(rejection, draft.indexes)])
  const rejections = [...draft.rejections, ...theirs].sort((a, b) => a.index - b.index)
  return { ...verdict, rejections }
}
