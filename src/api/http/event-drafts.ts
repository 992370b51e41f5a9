// The events of one message while a body is read: those that may go to the pipeline, encoded, and those that may not.
//
// Job: keep each event's place in what the caller sent, so that a rejection names that place wherever it was found.

import type { ErrorCode } from '../../errors.ts'
import { BatchBuilder, type EventParts } from '../../event/record-batch.ts'
import type { PublishVerdict, Rejection } from '../../pipeline/pipeline.ts'

/** A message for the pipeline, and what is needed to read its verdict. */
export interface Draft {
  readonly message: Uint8Array
  /** For each event of the message its place in what the caller sent. */
  readonly places: readonly number[]
  /** Events that are not in the message. */
  readonly rejections: readonly Rejection[]
}

export class EventDrafts {
  readonly #builder = new BatchBuilder()
  #places: number[] = []
  #rejections: Rejection[] = []

  /** How many events will be in the message. */
  get count(): number {
    return this.#places.length
  }

  get byteLength(): number {
    return this.#builder.byteLength
  }

  get isEmpty(): boolean {
    return this.#places.length === 0 && this.#rejections.length === 0
  }

  add(place: number, event: EventParts): void {
    this.#builder.add(event)
    this.#places.push(place)
  }

  refuse(place: number, id: string, message: string, code: ErrorCode = 'invalid_event'): void {
    this.#rejections.push({ index: place, id, code, message })
  }

  /** Everything so far; begins anew. */
  take(): Draft {
    const draft = { message: this.#builder.take(), places: this.#places, rejections: this.#rejections }
    this.#places = []
    this.#rejections = []
    return draft
  }
}

/** The verdict on everything that the caller sent: the pipeline's own, and what was refused before it. */
export function verdictOnDraft(draft: Draft, verdict: PublishVerdict): PublishVerdict {
  const theirs = verdict.rejections.map((rejection) => ({ ...rejection, index: draft.places[rejection.index]! }))
  const rejections = [...draft.rejections, ...theirs].sort((a, b) => a.index - b.index)
  return { ...verdict, rejections }
}
