import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { createMetrics, type MetricsOptions } from './metrics.ts'
import { metricsTable } from './metrics-table.ts'

function open(t: TestContext, options?: MetricsOptions) {
  const metrics = createMetrics(options)
  t.after(() => metrics.close())
  return metrics
}

/** The samples of one scrape, as `name{labels}` → value. */
function samplesOf(body: string): Map<string, number> {
  const samples = new Map<string, number>()
  for (const line of body.split('\n').filter((each) => each !== '' && !each.startsWith('#'))) {
    const match = /^([a-z_0-9]+(?:\{.*\})?) (\S+)$/.exec(line)
    assert.ok(match, `no sample: ${line}`)
    assert.ok(!samples.has(match[1]!), `repeated: ${line}`)
    samples.set(match[1]!, match[2] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[2]))
  }
  return samples
}

test('a scrape shows the counted values', async (t) => {
  const metrics = open(t)
  metrics.eventsAccepted.add(2, { topic: 'events', lane: 'high' })
  metrics.eventsAccepted.with({ lane: 'high', topic: 'events' }).add(3)
  metrics.landingRows.add(7)
  metrics.logLedger.set(41, { topic: 'events', group: 'landing', term: 'accepted' })
  metrics.diskFreeBytes.set(1e12)

  const samples = samplesOf((await metrics.render()).body)
  assert.equal(samples.get('millrace_events_accepted_total{topic="events",lane="high"}'), 5)
  assert.equal(samples.get('millrace_landing_rows_total'), 7)
  assert.equal(samples.get('millrace_log_ledger_events_total{topic="events",group="landing",term="accepted"}'), 41)
  assert.equal(samples.get('millrace_disk_free_bytes'), 1e12)
})

test('totals are sums over all series or over those with the given labels', (t) => {
  const metrics = open(t)
  metrics.eventsAccepted.add(2, { topic: 'events', lane: 'high' })
  metrics.eventsAccepted.add(3, { topic: 'orders', lane: 'high' })
  metrics.eventsAccepted.add(4, { topic: 'orders', lane: 'low' })
  for (const seconds of [0.0004, 0.002, 0.0025, 60]) metrics.landingDuration.observe(seconds)

  assert.equal(metrics.eventsAccepted.total(), 9)
  assert.equal(metrics.eventsAccepted.total({ lane: 'high' }), 5)
  assert.equal(metrics.eventsAccepted.total({ topic: 'orders', lane: 'high' }), 3)
  assert.equal(metrics.landingRows.total(), 0)
  const { count, sum, buckets } = metrics.landingDuration.totals()
  assert.deepEqual([count, sum], [4, 60.0049])
  assert.deepEqual(
    buckets.filter((bucket) => bucket.count > 0),
    [
      { upTo: 0.0005, count: 1 },
      { upTo: 0.0025, count: 2 },
      { upTo: null, count: 1 },
    ],
  )
})

test('a histogram counts each value once, in the first bucket that holds it', async () => {
  const { buckets } = metricsTable.landingBatchRows
  const value = fc.oneof(fc.constantFrom(...buckets), fc.integer({ min: 0, max: 9000 }))
  await fc.assert(
    fc.asyncProperty(fc.array(value, { maxLength: 30 }), async (values) => {
      const metrics = createMetrics()
      for (const value of values) metrics.landingBatchRows.observe(value)
      const samples = samplesOf((await metrics.render()).body)
      metrics.close()
      for (const bound of buckets) {
        const expected = values.filter((value) => value <= bound).length
        assert.equal(samples.get(`millrace_landing_batch_rows_bucket{le="${bound}"}`), expected)
      }
      assert.equal(samples.get('millrace_landing_batch_rows_bucket{le="+Inf"}'), values.length)
      assert.equal(samples.get('millrace_landing_batch_rows_count'), values.length)
      assert.equal(
        samples.get('millrace_landing_batch_rows_sum'),
        values.reduce((sum, value) => sum + value, 0),
      )
    }),
    { numRuns: 15 },
  )
})

test('a counter with known label values exists from the start with 0, a gauge only once it is set', async (t) => {
  const metrics = open(t, { topics: ['events', 'orders'] })
  const samples = samplesOf((await metrics.render()).body)
  for (const topic of ['events', 'orders']) {
    assert.equal(samples.get(`millrace_events_accepted_total{topic="${topic}",lane="low"}`), 0)
    assert.equal(samples.get(`millrace_log_ledger_events_total{topic="${topic}",group="landing",term="lost"}`), 0)
    assert.equal(samples.has(`millrace_log_waiting_events{topic="${topic}",group="landing"}`), false)
  }
  assert.equal(samples.get('millrace_publish_duration_seconds_count{transport="grpc"}'), 0)
  assert.equal(samples.get('millrace_log_commits_total'), 0)
  assert.equal(samples.has('millrace_disk_free_bytes'), false)
})

test('label values from outside are bounded; values after the bound are counted as other', async (t) => {
  const metrics = open(t, { maxSeries: 2000 })
  for (let number = 0; number < 10_000; number++) {
    metrics.grpcCalls.add(1, { method: `/made.up/${number}`, code: 'UNIMPLEMENTED' })
    metrics.logWaiting.set(number, { topic: `topic-${number}`, group: 'landing' })
    metrics.rpcServerDuration.observe(1, { method: `/made.up/${number}`, code: 'OK' })
    metrics.eventsAccepted.add(1, { topic: `topic-${number}`, lane: 'high' })
  }
  const { body } = await metrics.render()
  const samples = samplesOf(body)
  const ours = [...samples].filter(([name]) => name.startsWith('millrace_'))
  assert.ok(ours.length <= 2100, `${ours.length} series`)
  assert.ok(body.length < 1024 * 1024)

  const calls = ours.filter(([name]) => name.startsWith('millrace_grpc_calls_total'))
  assert.equal(
    calls.reduce((sum, [, value]) => sum + value, 0),
    10_000,
  )
  assert.ok(samples.get('millrace_grpc_calls_total{method="other",code="other"}')! > 8000)
  assert.ok(samples.get('millrace_events_accepted_total{topic="other",lane="high"}')! > 8000, 'a known value stays')
  assert.ok(Number.isNaN(samples.get('millrace_log_waiting_events{topic="other",group="other"}')), 'no made-up number')
})

test('a removed series is no longer shown, frees its budget, and can be created again', async (t) => {
  const metrics = open(t, { maxSeries: 300 })
  const room = async () => (await metrics.render()).body.match(/^millrace_log_waiting_events\{/gm)?.length ?? 0
  const fill = () => {
    for (let number = 0; number < 400; number++)
      metrics.logWaiting.set(number, { topic: 'orders', group: `g${number}` })
  }
  fill()
  const bounded = await room()
  assert.ok(bounded > 1 && bounded < 400)
  metrics.logWaiting.forget({ topic: 'orders', group: 'g0' })
  metrics.logWaiting.forget({ topic: 'orders', group: 'g1' })
  metrics.logWaiting.forget({ topic: 'orders', group: 'g1' })
  metrics.logWaiting.forget({ topic: 'other', group: 'other' })
  const rest = samplesOf((await metrics.render()).body)
  assert.equal(await room(), bounded - 2)
  assert.ok(!rest.has('millrace_log_waiting_events{topic="orders",group="g1"}'))
  assert.equal(rest.get('millrace_log_waiting_events{topic="orders",group="g2"}'), 2)

  fill()
  assert.equal(await room(), bounded)
  assert.equal(
    samplesOf((await metrics.render()).body).get('millrace_log_waiting_events{topic="orders",group="g1"}'),
    1,
  )

  metrics.logLedger.set(3, { topic: 'events', group: 'landing', term: 'landed' })
  metrics.logLedger.set(4, { topic: 'events', group: 'audit', term: 'landed' })
  metrics.logLedger.forget({ topic: 'events', group: 'landing' })
  assert.equal(metrics.logLedger.total(), 4)
})

test('a value that is read at scrape time is current in that scrape', async (t) => {
  const metrics = open(t)
  let free = 0
  metrics.onScrape(async () => metrics.diskFreeBytes.set(++free))
  assert.equal(samplesOf((await metrics.render()).body).get('millrace_disk_free_bytes'), 1)
  assert.equal(samplesOf((await metrics.render()).body).get('millrace_disk_free_bytes'), 2)
})

test('a reader that fails or hangs loses its own value, not the scrape, and is counted', async (t) => {
  const metrics = open(t, { maxScrapeWaitMs: 20 })
  let hung = 0
  metrics.onScrape(() => Promise.reject(new Error('the log is down')))
  metrics.onScrape(() => {
    hung++
    return new Promise<void>(() => {})
  })
  metrics.landingRows.add(1)
  await metrics.render()
  const samples = samplesOf((await metrics.render()).body)
  assert.equal(samples.get('millrace_landing_rows_total'), 1)
  assert.equal(samples.get('millrace_scrape_failures_total'), 3)
  assert.equal(hung, 1, 'it is not called again while it hangs')
})

test('every metric of the table has a field of its name, a prefix, a unit and a help text', () => {
  const names = Object.values(metricsTable).map(({ name }) => name)
  assert.equal(new Set(names).size, names.length)
  for (const [field, { name, type, help }] of Object.entries(metricsTable)) {
    assert.match(name, /^millrace_[a-z]+(_[a-z]+)*$/)
    const camel = name.slice('millrace_'.length).replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    assert.ok(camel.startsWith(field), `${field}: ${name}`)
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    assert.match(help, /^\S.*\.$/, name)
  }
})

test('the content type has the format version, and the text includes process and runtime metrics', async (t) => {
  const { contentType, body } = await open(t).render('text/plain')
  assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8')
  for (const { name, type, help } of Object.values(metricsTable)) {
    assert.ok(body.includes(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`), name)
  }
  const names = [...samplesOf(body).keys()]
  assert.ok(names.includes('process_resident_memory_bytes'))
  assert.ok(names.includes('process_cpu_seconds_total'))
  assert.ok(names.includes('nodejs_eventloop_lag_seconds'))
})

test('OpenMetrics is returned on request, with the same samples, and does not change the text format', async (t) => {
  const metrics = open(t)
  metrics.landingRows.add(3)
  metrics.logCommitDuration.observe(0.002)
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2'
  const open1 = await metrics.render(accept)
  assert.equal(open1.contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  assert.ok(open1.body.endsWith('# EOF\n'))
  assert.ok(open1.body.includes('# TYPE millrace_landing_rows counter\nmillrace_landing_rows_total 3\n'))
  const text = samplesOf((await metrics.render()).body)
  assert.deepEqual([...samplesOf(open1.body).keys()].sort(), [...text.keys()].sort())
})

test('the event loop delay is the time for which the loop was blocked, and near 0 when it was not', async (t) => {
  const metrics = open(t)
  const delayAfter = async (waitMs: number) => {
    await sleep(waitMs)
    return samplesOf((await metrics.render()).body).get('millrace_event_loop_delay_seconds') ?? Number.POSITIVE_INFINITY
  }
  const idle = [await delayAfter(60), await delayAfter(60), await delayAfter(60), await delayAfter(60)]
  assert.ok(Math.min(...idle) < 0.015, String(idle))

  await sleep(60) // the first sample after a scrape only starts the measurement
  const until = performance.now() + 150
  while (performance.now() < until); // blocks the loop
  const held = await delayAfter(60)
  assert.ok(held > 0.1 && held < 5, String(held))
})
