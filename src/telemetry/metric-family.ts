// The values of the metrics: one family per metric, one series per set of label values.
//
// Job: count without allocating. A series is found through nested maps, one per label, so no key string is built; hot
// code keeps the series that `with` returns. The metrics library reads the values at scrape time only. (Its own
// counters build a key string for each call.)

import type { CounterRow, GaugeRow, HistogramRow, MetricRow } from './metrics-table.ts'

export type Labels<Label extends string> = { readonly [Name in Label]: string }

/** Metrics without labels take no second argument. */
type LabelArguments<Label extends string> = [Label] extends [never] ? [] : [labels: Labels<Label>]

export interface CounterSeries {
  add(count: number): void
  /** For totals that are counted elsewhere and read at scrape time. The total must not decrease. */
  set(total: number): void
}

export interface GaugeSeries {
  set(value: number): void
}

export interface HistogramSeries {
  observe(value: number): void
}

export interface Counter<Label extends string = never> {
  add(count: number, ...labels: LabelArguments<Label>): void
  set(total: number, ...labels: LabelArguments<Label>): void
  with(labels: Labels<Label>): CounterSeries
  /** Removes the series with these values, and their totals. A series kept from `with` no longer counts anywhere. */
  forget(labels: Partial<Labels<Label>>): void
  /** The sum over all series, or over those with these values. */
  total(labels?: Partial<Labels<Label>>): number
}

/** A series of a gauge exists from the first `set` on: an unknown value is absent, not 0. */
export interface Gauge<Label extends string = never> {
  set(value: number, ...labels: LabelArguments<Label>): void
  with(labels: Labels<Label>): GaugeSeries
  /** Removes the series with these values, because what they measured no longer exists. */
  forget(labels: Partial<Labels<Label>>): void
}

export interface Histogram<Label extends string = never> {
  observe(value: number, ...labels: LabelArguments<Label>): void
  with(labels: Labels<Label>): HistogramSeries
  /** The sum over all series. */
  totals(): HistogramTotals
}

export interface HistogramTotals {
  readonly count: number
  readonly sum: number
  /** `count` values were above the previous bucket and at most `upTo`; null: no upper bound. */
  readonly buckets: readonly { readonly upTo: number | null; readonly count: number }[]
}

/** One sample line of the exposition format. */
export interface Sample {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** How many more series may be created. Shared by all families. */
export interface SeriesBudget {
  left: number
}

/** Replaces every label value that came after the bound was reached. */
export const overflowValue = 'other'

interface Series {
  readonly labels: Readonly<Record<string, string>>
  samples(name: string): Sample[]
}

type SeriesNode<Kind> = Kind | Map<string, SeriesNode<Kind>>

/** Finds and creates the series of one metric, within the budget. */
class SeriesIndex<Kind extends Series> {
  readonly #row: MetricRow
  readonly #budget: SeriesBudget
  readonly #cost: number
  readonly #make: (labels: Readonly<Record<string, string>>, overflow: boolean) => Kind
  #root: Map<string, SeriesNode<Kind>> = new Map()
  #all: Kind[] = []
  /** The series with `overflowValue`. They do not count against the budget. */
  readonly #overflowing = new Set<Kind>()

  constructor(
    row: MetricRow,
    budget: SeriesBudget,
    make: (labels: Readonly<Record<string, string>>, overflow: boolean) => Kind,
  ) {
    this.#row = row
    this.#budget = budget
    this.#cost = row.type === 'histogram' ? row.buckets.length + 3 : 1
    this.#make = make
  }

  find(labels: Readonly<Record<string, string>>): Kind {
    return this.#lookUp(labels) ?? this.#add(labels)
  }

  /** Creates the series even if the budget is used up: its label values were known at start. */
  prepare(labels: Readonly<Record<string, string>>): void {
    if (this.#lookUp(labels) === undefined) this.#insert(labels, false)
  }

  get all(): readonly Kind[] {
    return this.#all
  }

  matching(labels: Readonly<Record<string, string>>): readonly Kind[] {
    const chosen = Object.entries(labels)
    return this.#all.filter((series) => chosen.every(([name, value]) => series.labels[name] === value))
  }

  /** Overflow series stay: they also count for other label values. */
  remove(labels: Readonly<Record<string, string>>): void {
    const removed = new Set(this.matching(labels)).difference(this.#overflowing)
    if (removed.size === 0) return
    this.#budget.left += removed.size * this.#cost
    this.#all = this.#all.filter((series) => !removed.has(series))
    this.#root = new Map()
    for (const series of this.#all) this.#place(series)
  }

  samples(): Sample[] {
    return this.#all.flatMap((series) => series.samples(this.#row.name))
  }

  #lookUp(labels: Readonly<Record<string, string>>): Kind | undefined {
    let node: SeriesNode<Kind> | undefined = this.#root
    for (const label of this.#row.labels) {
      node = (node as Map<string, SeriesNode<Kind>>).get(labels[label] as string)
      if (node === undefined) return undefined
    }
    return node === this.#root ? this.#all[0] : (node as Kind)
  }

  #add(labels: Readonly<Record<string, string>>): Kind {
    if (this.#budget.left >= this.#cost) return this.#insert(labels, false)
    const bounded: Record<string, string> = {}
    for (const label of this.#row.labels) {
      const known = this.#row.type === 'gauge' ? [] : (this.#row.known[label] ?? [])
      const value = labels[label] as string
      bounded[label] = known.includes(value) ? value : overflowValue
    }
    return this.#lookUp(bounded) ?? this.#insert(bounded, true)
  }

  #insert(labels: Readonly<Record<string, string>>, overflow: boolean): Kind {
    // A copy in the table's order: the caller's object may have more fields, and may change.
    const values = Object.fromEntries(this.#row.labels.map((label) => [label, String(labels[label])]))
    const series = this.#make(values, overflow)
    this.#all.push(series)
    if (overflow) this.#overflowing.add(series)
    else this.#budget.left -= this.#cost
    this.#place(series)
    return series
  }

  #place(series: Kind): void {
    let node = this.#root
    this.#row.labels.forEach((label, depth) => {
      const value = series.labels[label] as string
      if (depth === this.#row.labels.length - 1) {
        node.set(value, series)
        return
      }
      const next = node.get(value) ?? new Map<string, SeriesNode<Kind>>()
      node.set(value, next)
      node = next as Map<string, SeriesNode<Kind>>
    })
  }
}

class CounterValue implements CounterSeries, Series {
  readonly labels: Readonly<Record<string, string>>
  #total = 0

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels
  }

  add(count: number): void {
    this.#total += count
  }

  set(total: number): void {
    this.#total = total
  }

  get total(): number {
    return this.#total
  }

  samples(metricName: string): Sample[] {
    return [{ metricName, labels: this.labels, value: this.#total }]
  }
}

class GaugeValue implements GaugeSeries, Series {
  readonly labels: Readonly<Record<string, string>>
  readonly #overflow: boolean
  #value = Number.NaN

  constructor(labels: Readonly<Record<string, string>>, overflow: boolean) {
    this.labels = labels
    this.#overflow = overflow
  }

  /** Many label values share the overflow series, and no single value is right for all, so it stays NaN. */
  set(value: number): void {
    if (!this.#overflow) this.#value = value
  }

  samples(metricName: string): Sample[] {
    return [{ metricName, labels: this.labels, value: this.#value }]
  }
}

class HistogramValue implements HistogramSeries, Series {
  readonly labels: Readonly<Record<string, string>>
  readonly #buckets: readonly number[]
  /** One per bucket, and a last one for values above all buckets. */
  readonly #counts: Float64Array
  #sum = 0

  constructor(labels: Readonly<Record<string, string>>, buckets: readonly number[]) {
    this.labels = labels
    this.#buckets = buckets
    this.#counts = new Float64Array(buckets.length + 1)
  }

  observe(value: number): void {
    let bucket = 0
    while (bucket < this.#buckets.length && value > (this.#buckets[bucket] as number)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#sum += value
  }

  get sum(): number {
    return this.#sum
  }

  countOf(bucket: number): number {
    return this.#counts[bucket] as number
  }

  samples(name: string): Sample[] {
    const samples: Sample[] = []
    let count = 0
    this.#counts.forEach((inBucket, bucket) => {
      count += inBucket
      const le = String(this.#buckets[bucket] ?? '+Inf')
      samples.push({ metricName: `${name}_bucket`, labels: { ...this.labels, le }, value: count })
    })
    samples.push({ metricName: `${name}_sum`, labels: this.labels, value: this.#sum })
    samples.push({ metricName: `${name}_count`, labels: this.labels, value: count })
    return samples
  }
}

/** The label values of a metric without labels. */
const noLabels = {}

/** A metric: the handle for counting, and what a scrape reads. */
export type Family<Handle> = Handle & {
  readonly row: MetricRow
  prepare(labels: Readonly<Record<string, string>>): void
  samples(): Sample[]
}

export function counterFamily(row: CounterRow, budget: SeriesBudget): Family<Counter<string>> {
  const index = new SeriesIndex(row, budget, (labels) => new CounterValue(labels))
  return {
    row,
    add: (count, labels: Labels<string> = noLabels) => index.find(labels).add(count),
    set: (total, labels: Labels<string> = noLabels) => index.find(labels).set(total),
    with: (labels) => index.find(labels),
    forget: (labels) => index.remove(labels as Labels<string>),
    total: (labels = noLabels) => index.matching(labels as Labels<string>).reduce((sum, { total }) => sum + total, 0),
    prepare: (labels) => index.prepare(labels),
    samples: () => index.samples(),
  }
}

export function gaugeFamily(row: GaugeRow, budget: SeriesBudget): Family<Gauge<string>> {
  const index = new SeriesIndex(row, budget, (labels, overflow) => new GaugeValue(labels, overflow))
  return {
    row,
    set: (value, labels: Labels<string> = noLabels) => index.find(labels).set(value),
    with: (labels) => index.find(labels),
    forget: (labels) => index.remove(labels as Labels<string>),
    prepare: (labels) => index.prepare(labels),
    samples: () => index.samples(),
  }
}

export function histogramFamily(row: HistogramRow, budget: SeriesBudget): Family<Histogram<string>> {
  const index = new SeriesIndex(row, budget, (labels) => new HistogramValue(labels, row.buckets))
  return {
    row,
    observe: (value, labels: Labels<string> = noLabels) => index.find(labels).observe(value),
    with: (labels) => index.find(labels),
    totals: () => {
      const buckets = Array.from({ length: row.buckets.length + 1 }, (_, bucket) => ({
        upTo: row.buckets[bucket] ?? null,
        count: index.all.reduce((sum, series) => sum + series.countOf(bucket), 0),
      }))
      return {
        count: buckets.reduce((sum, { count }) => sum + count, 0),
        sum: index.all.reduce((sum, series) => sum + series.sum, 0),
        buckets,
      }
    },
    prepare: (labels) => index.prepare(labels),
    samples: () => index.samples(),
  }
}
