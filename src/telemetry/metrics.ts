// The metrics of one server.
//
// Job: provide typed counters, gauges and histograms, one field for each row of the table, and render them for
// Prometheus. The metrics library is used only here, for rendering and for the process_* and nodejs_* metrics.
// Not its job: serving /metrics (api/http).

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { collectDefaultMetrics, type Counter as LibraryMetric, Registry } from '@prometheus-io/client'
import { defaultTopic } from '../event/event.ts'
import {
  type Counter,
  counterFamily,
  type Family,
  type Gauge,
  gaugeFamily,
  type Histogram,
  histogramFamily,
  type SeriesBudget,
} from './metric-family.ts'
import { type CounterRow, type GaugeRow, type HistogramRow, type MetricRow, metricsTable } from './metrics-table.ts'

type Handle<Row> =
  Row extends CounterRow<infer Label>
    ? Counter<Label>
    : Row extends GaugeRow<infer Label>
      ? Gauge<Label>
      : Row extends HistogramRow<infer Label>
        ? Histogram<Label>
        : never

type Handles = { readonly [Field in keyof typeof metricsTable]: Handle<(typeof metricsTable)[Field]> }

export interface Metrics extends Handles {
  /** Runs `read` before each scrape, to set values that are not counted. A failure is counted; the old value stays. */
  onScrape(read: () => Promise<void> | void): void
  /** Renders the Prometheus text format, or OpenMetrics if the Accept header asks for it. */
  render(accept?: string): Promise<{ readonly contentType: string; readonly body: string }>
  /** Stops the measurement of the event loop delay. */
  close(): void
}

export interface MetricsOptions {
  /** Declared topics: their series exist from the start. Default: `events`. */
  readonly topics?: readonly string[]
  /** Groups that every topic has. Default: `landing`. */
  readonly groups?: readonly string[]
  /** Max series with label values that are not known at start; see `overflowValue`. Default 2,000. */
  readonly maxSeries?: number
  /** How many milliseconds a scrape waits for its readers. Default 2,000. */
  readonly maxScrapeWaitMs?: number
}

const nanosecondsPerSecond = 1e9
/** How often the event loop delay is sampled. */
const loopIntervalMs = 20

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { topics = [defaultTopic], groups = ['landing'], maxSeries = 2000, maxScrapeWaitMs = 2000 } = options
  const families = makeFamilies({ left: maxSeries })
  const all = Object.values(families) as Family<unknown>[]
  for (const family of all) prepareKnown(family, { topic: topics, group: groups })

  const handles = families as unknown as Handles
  const registries = makeRegistries(all)
  const readers: (() => Promise<void> | void)[] = []
  const loopDelay = monitorEventLoopDelay({ resolution: loopIntervalMs })
  loopDelay.enable()
  readers.push(() => {
    if (loopDelay.count === 0) return
    // The histogram records the time between two samples, so the interval is subtracted.
    const seconds = loopDelay.percentile(99) / nanosecondsPerSecond - loopIntervalMs / 1000
    handles.eventLoopDelay.set(Math.max(0, seconds))
    loopDelay.reset()
  })

  // One round of reads at a time: calls of a hanging reader must not pile up with every scrape.
  let reading: Promise<void> | null = null
  const readAll = () => {
    reading ??= Promise.all(readers.map((read) => attempt(read, () => handles.scrapeFailures.add(1)))).then(() => {
      reading = null
    })
    return reading
  }

  return {
    ...handles,
    onScrape: (read) => {
      readers.push(read)
    },
    render: async (accept = '') => {
      if (!(await endsWithin(readAll(), maxScrapeWaitMs))) handles.scrapeFailures.add(1)
      const registry = accept.includes('application/openmetrics-text') ? registries.openMetrics : registries.text
      return { contentType: registry.contentType, body: await registry.metrics() }
    },
    close: () => {
      loopDelay.disable()
    },
  }
}

function makeFamilies(budget: SeriesBudget): Record<string, Family<unknown>> {
  return Object.fromEntries(Object.entries(metricsTable).map(([field, row]) => [field, makeFamily(row, budget)]))
}

function makeFamily(row: MetricRow, budget: SeriesBudget): Family<unknown> {
  if (row.type === 'counter') return counterFamily(row, budget)
  return row.type === 'gauge' ? gaugeFamily(row, budget) : histogramFamily(row, budget)
}

/** Creates every series whose label values are all known. Not for gauges: their first value is unknown, not 0. */
function prepareKnown(family: Family<unknown>, everywhere: Readonly<Record<string, readonly string[]>>): void {
  const { row } = family
  if (row.type === 'gauge') return
  let sets: Record<string, string>[] = [{}]
  for (const label of row.labels) {
    const values = row.known[label] ?? everywhere[label] ?? []
    sets = sets.flatMap((set) => values.map((value) => ({ ...set, [label]: value })))
  }
  for (const labels of sets) family.prepare(labels)
}

/**
 * The library calls `get` for the samples of a metric. One object per registry: counter names differ in OpenMetrics.
 */
function makeRegistries(families: readonly Family<unknown>[]): { text: Registry; openMetrics: Registry } {
  const text = new Registry(Registry.PROMETHEUS_CONTENT_TYPE)
  const openMetrics = new Registry(Registry.OPENMETRICS_CONTENT_TYPE)
  collectDefaultMetrics({ register: text as Registry<typeof Registry.PROMETHEUS_CONTENT_TYPE> })
  for (const metric of text.getMetricsAsArray() as unknown as LibraryMetric[]) {
    const { name, type } = metric as unknown as { name: string; type: string }
    const get = async () => ({ ...(await metric.get()), name: type === 'counter' ? name.replace(/_total$/, '') : name })
    openMetrics.registerMetric({ name, type, get } as unknown as LibraryMetric)
  }
  for (const family of families) {
    const { name, help, type } = family.row
    for (const registry of [text, openMetrics]) {
      const shown = registry === openMetrics && type === 'counter' ? name.replace(/_total$/, '') : name
      const get = async () => ({
        name: shown,
        help,
        type,
        values: family.samples().map((sample) => (type === 'histogram' ? sample : { ...sample, metricName: shown })),
      })
      registry.registerMetric({ name, help, type, get } as unknown as LibraryMetric)
    }
  }
  return { text, openMetrics }
}

async function attempt(read: () => Promise<void> | void, onFailure: () => void): Promise<void> {
  try {
    await read()
  } catch {
    onFailure()
  }
}

async function endsWithin(work: Promise<void>, maxWaitMs: number): Promise<boolean> {
  const { promise: deadline, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(resolve, maxWaitMs, false)
  const ended = await Promise.race([work.then(() => true), deadline])
  clearTimeout(timer)
  return ended
}
