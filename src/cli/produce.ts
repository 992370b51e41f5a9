// `millrace produce`: publishes events and prints how many were accepted, dropped and rejected.
//
// Overflow is `wait`: a full server slows it down. When the connection is lost it tries to reconnect for 60 s and resends
// what was not acknowledged; the log deduplicates the resends.

import { resolve } from 'node:path'
import { connect } from '../client/connect.ts'
import type { Publisher } from '../client/publisher.ts'
import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { type CommandInput, textOption, UsageError } from './command.ts'
import { EventLines } from './event-lines.ts'
import type { EventSource } from './event-source.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { Interruption } from './interruption.ts'
import { keptRate } from './pace.ts'
import { printResult, RejectionSummary, resultOf } from './produce-report.ts'
import { ProgressBar } from './progress-bar.ts'
import { SampleEvents } from './sample-events.ts'
import { sendEvents } from './send-events.ts'
import { connectOptions } from './server-addresses.ts'
import { formatCount, formatCountOf } from './table.ts'
import type { Terminal } from './terminal.ts'

const defaultType = 'sample.order'
const defaultPayloadBytes = 200
/** Shortest time between two messages about a lost connection. */
const outageMessageIntervalMs = 10_000
const standstillMs = 5000

export async function run(input: CommandInput): Promise<number> {
  const { terminal, configInput } = input
  const count = input.arguments[0] === undefined ? null : Number(input.arguments[0])
  const rateText = textOption(input, 'rate')
  const ratePerSecond = rateText === undefined ? null : Number(rateText)
  const source = openSource(input, count)
  const config = loadConfig({ ...configInput, isForClient: true })
  const client = connect(connectOptions(config))
  const summary = new RejectionSummary()
  const reports = new TroubleReports(terminal)
  const publisher = client.publisher({
    overflow: 'wait',
    ...publisherOptions(input),
    onRejections: (rejections) => summary.addRejections(rejections),
    onCut: reports.onCut,
  })
  const interruption = new Interruption()
  reports.watch(publisher)
  const bar = new ProgressBar(terminal, describeProgress(publisher, count))
  const startMs = performance.now()
  const { signal, deadline } = interruption
  const onRefused = (error: MillraceError): void => summary.addRefusal(error)
  const sent = await reportFailure(sendEvents(source, publisher, { ratePerSecond, signal, onRefused }), terminal)
  // Events added before the failure may still be acknowledged. The publisher's own failure is already reported.
  if (publisher.failure === null) await reportFailure(publisher.close({ signal: deadline }), terminal)
  bar.close()
  reports.close()
  source.close()
  client.close()
  interruption.close()

  const result = resultOf(publisher.totals, summary.refusedByClient, performance.now() - startMs)
  for (const line of summary.lines()) terminal.note(line)
  if (sent !== null && count !== null && sent.events < count && interruption.received === null) {
    terminal.note(
      `the file has only ${formatCountOf(sent.events, 'event')}, and ${formatCount(count)} were to be published`,
    )
  }
  if (sent !== null && ratePerSecond !== null && !keptRate(sent.events, sent.elapsedMs, ratePerSecond)) {
    const reached = Math.round((sent.events * 1000) / sent.elapsedMs)
    terminal.note(`the rate was not reached: ${reached} events/s were sent instead of ${ratePerSecond}`)
  }
  printResult(result, terminal)
  if (interruption.received !== null) return exitCodeOfSignal(interruption.received)
  return sent !== null && result.accepted === (count ?? sent.events) ? exitCodes.done : exitCodes.failed
}

/** Resolves with the outcome; after a MillraceError prints it and resolves with null, so that the summary still follows. */
async function reportFailure<Outcome>(work: Promise<Outcome>, terminal: Terminal): Promise<Outcome | null> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    terminal.note(`millrace: ${error.message}`)
    return null
  }
}

function openSource(input: CommandInput, count: number | null): EventSource {
  const file = textOption(input, 'file')
  const type = textOption(input, 'type')
  const payload = textOption(input, 'payload')
  if (file === undefined) {
    if (count === null)
      throw new UsageError('the number of events is missing; give it, as in millrace produce 1000, or use --file F')
    return new SampleEvents({
      count,
      type: type ?? defaultType,
      payloadBytes: payload === undefined ? defaultPayloadBytes : Number(payload),
    })
  }
  if (type !== undefined || payload !== undefined) {
    throw new UsageError(
      '--type and --payload apply to sample events only and cannot be combined with --file; leave them out',
    )
  }
  const path = file === '-' ? file : resolve(input.configInput.cwd, file)
  return EventLines.open(path, count ?? Number.POSITIVE_INFINITY)
}

function publisherOptions(input: CommandInput): { topic?: string; maxMessageEvents?: number } {
  const topic = textOption(input, 'topic')
  const batch = textOption(input, 'batch')
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(batch === undefined ? {} : { maxMessageEvents: Number(batch) }),
  }
}

/** Says why nothing moves. */
class TroubleReports {
  readonly #terminal: Terminal
  #cutAtMs = Number.NEGATIVE_INFINITY
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  readonly onCut = ({ code, message }: MillraceError): void => {
    this.#cutAtMs = performance.now()
    if (this.#cutAtMs - this.#reportedAtMs < outageMessageIntervalMs) return
    this.#reportedAtMs = this.#cutAtMs
    const what = code === 'durability_lost' ? 'events are refused' : 'no connection'
    this.#terminal.note(`${what} (${message}); reconnecting for up to 60 s`)
  }

  /** A server that has no room stops reading, and says nothing. */
  watch(publisher: Publisher): void {
    let last = publisher.totals
    this.#timer = setInterval(() => {
      const { totals } = publisher
      const isStill = totals.unknown > 0 && totals.accepted === last.accepted && totals.rejected === last.rejected
      last = totals
      if (!isStill || performance.now() - this.#cutAtMs < 2 * standstillMs) return
      const seconds = standstillMs / 1000
      this.#terminal.note(
        `nothing was accepted for ${seconds} s: the server waits for room; "millrace status" says why`,
      )
    }, standstillMs)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/** The rate is measured between two redraws and smoothed over about a second. */
function describeProgress(publisher: Publisher, count: number | null) {
  let [lastAccepted, lastMs, eventsPerSecond] = [0, performance.now(), 0]
  return () => {
    const { accepted, rejected } = publisher.totals
    const nowMs = performance.now()
    const elapsedMs = Math.max(1, nowMs - lastMs)
    const weight = Math.min(1, elapsedMs / 1000)
    eventsPerSecond += weight * (((accepted - lastAccepted) * 1000) / elapsedMs - eventsPerSecond)
    lastAccepted = accepted
    lastMs = nowMs
    const goal = count === null ? '' : ` of ${formatCount(count)}`
    const refusals = rejected === 0 ? '' : `, ${formatCount(rejected)} rejected`
    return {
      share: count === null ? null : accepted / count,
      text: `${formatCount(accepted)}${goal} accepted${refusals}, ${formatCount(Math.round(eventsPerSecond))}/s`,
    }
  }
}
