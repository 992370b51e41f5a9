// The metrics of one server.
//
// Job: hand out typed counters, gauges and histograms, one field for each row of the table, and write them out for
// Prometheus. The library is used for that text and for the process_* and nodejs_* metrics, and only here.
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
  /** Runs before each scrape, to set what is read rather than counted. A failure is counted, and the old value shown. */
  onScrape(read: () => Promise<void> | void): void
  /** The text for Prometheus; as OpenMetrics when the Accept header asks for it. */
  render(accept?: string): Promise<{ readonly contentType: string; readonly body: string }>
  /** Stops measuring the event loop. */
  close(): void
}

export interface MetricsOptions {
  /** Declared topics: their series exist from the start. Default: `events`. */
  readonly topics?: readonly string[]
  /** Groups that every topic has. Default: `landing`. */
  readonly groups?: readonly string[]
  /** Bound of label values from outside; see `overflowValue`. Default 2,000. */
  readonly maxSeries?: number
  /** How long a scrape waits for its readers. Default 2,000. */
  readonly maxScrapeWaitMs?: number
}

const nanosecondsPerSecond = 1e9
/** How often the event loop is looked at. */
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
    // What it measures is from one look to the next, so the interval is in it.
    const seconds = loopDelay.percentile(99) / nanosecondsPerSecond - loopIntervalMs / 1000
    handles.eventLoopDelay.set(Math.max(0, seconds))
    loopDelay.reset()
  })

  // One round of reading at a time: a reader that hangs must not pile up with every scrape.
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

/** Makes every series whose label values are all known. Not for gauges: theirs are not known to be 0. */
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

/** The library asks a metric for its samples by `get`. One object per registry: it renames counters for OpenMetrics. */
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
