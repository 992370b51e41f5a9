// The status once a second, as server-sent events, for everyone who watches.
//
// One timer serves all watchers, and those with one pipeline, which is all of them where no keys are asked for, share one
// reading and its bytes. A watcher whose last answer has not been taken gets none: fewer answers, not older ones.

import type { ServerResponse } from 'node:http'
import { type MillraceError, toMillraceError } from '../../errors.ts'
import type { Pipeline } from '../../pipeline/pipeline.ts'
import { observed as observedShape } from '../../wire/status.ts'
import type { OpenCall } from '../open-calls.ts'
import { answerInTime } from './answer-in-time.ts'
import type { HttpTimes } from './http-times.ts'
import { problemOf } from './problem.ts'
import { sseEvent, sseProblem, sseStart } from './server-sent-events.ts'

/** For a stopping server to send what waits. A client that has not taken it then is cut off. */
const maxFarewellMs = 2_000

export class StatusStreams implements OpenCall {
  readonly #times: HttpTimes
  /** The watchers of each pipeline. */
  readonly #watchers = new Map<Pipeline, Set<ServerResponse>>()
  readonly #reading = new Map<Pipeline, Promise<Buffer>>()
  #timer: NodeJS.Timeout | null = null
  #isDraining = false

  constructor(times: HttpTimes) {
    this.#times = times
  }

  /** Sends the status now, and then once a second until the connection or the server ends. */
  add(pipeline: Pipeline, response: ServerResponse): void {
    if (this.#isDraining) return void response.end()
    const watchers = this.#watchers.get(pipeline) ?? new Set()
    this.#watchers.set(pipeline, watchers.add(response))
    response.once('close', () => this.#remove(pipeline, response))
    response.write(sseStart)
    void this.#read(pipeline).then((bytes) => response.writable && response.write(bytes))
    this.#timer ??= setInterval(() => this.#tick(), this.#times.statusEveryMs).unref()
  }

  /** The last thing that a watcher gets. */
  end(response: ServerResponse, error: MillraceError): void {
    if (response.writable) response.end(sseProblem(problemOf(error)))
  }

  drain(): void {
    this.#isDraining = true
    const open = [...this.#watchers.values()].flatMap((watchers) => [...watchers])
    for (const response of open) response.end()
    setTimeout(() => {
      for (const response of open) response.destroy()
    }, maxFarewellMs).unref()
  }

  #remove(pipeline: Pipeline, response: ServerResponse): void {
    const watchers = this.#watchers.get(pipeline)
    if (watchers?.delete(response) === true && watchers.size === 0) this.#watchers.delete(pipeline)
    if (this.#watchers.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #tick(): void {
    for (const [pipeline, watchers] of this.#watchers) {
      // The answer to the reading that is under way comes first.
      if (this.#reading.has(pipeline)) continue
      const ready = [...watchers].filter((response) => response.writableLength === 0)
      if (ready.length === 0) continue
      void this.#read(pipeline).then((bytes) => {
        for (const response of ready) if (response.writable) response.write(bytes)
      })
    }
  }

  /** One at a time. What fails is told, and the stream goes on: the log may come back. */
  #read(pipeline: Pipeline): Promise<Buffer> {
    const known = this.#reading.get(pipeline)
    if (known !== undefined) return known
    const reading = answerInTime(pipeline.observe(), this.#times.maxAnswerMs)
      .then(
        (observed) => sseEvent('status', JSON.stringify(observedShape.toJson(observed))),
        (thrown: unknown) => sseProblem(problemOf(toMillraceError(thrown))),
      )
      .finally(() => this.#reading.delete(pipeline))
    this.#reading.set(pipeline, reading)
    return reading
  }
}
