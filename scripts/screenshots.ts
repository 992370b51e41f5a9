// `npm run screenshots`: an image of each page of the console, light and dark, in docs/images/.
//
// It starts a server of its own in a temporary directory, with sample events flowing, a handler that gives some of them up,
// and a paused group, so that the pages have something to show.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { connect } from '../src/client/connect.ts'
import { loadConfig } from '../src/config/config.ts'
import { startServer } from '../src/server/start-server.ts'
import { createLogger } from '../src/telemetry/logger.ts'
import { chromiumOptions } from '../test/support/chromium.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const images = join(root, 'docs/images')
const flowSeconds = Number(process.argv[2] ?? 45)
const batchesPerSecond = 10

const samples = ['sensor.reading', 'page.viewed', 'order.placed', 'payment.captured', 'parcel.shipped'] as const

/** Gives up one order in some hundreds, and the parcels of one carrier now and then, after a second attempt. */
const handlerModule = `
import { dead, defineHandler } from '${pathToFileURL(join(root, 'src/workers/define-handler.ts'))}'
export const charge = defineHandler({
  group: 'billing', type: 'order.placed',
  async handle(event) {
    await new Promise((done) => setTimeout(done, 8))
    if (event.json().order % 400 === 7) return dead('the card was refused')
  },
})
export const mail = defineHandler({
  group: 'mail', type: 'parcel.shipped', retry: { maxAttempts: 2, initialDelayMs: 500 },
  async handle(event) {
    const { order, carrier } = event.json()
    if (carrier === 'rail' && order % 130 === 4) throw new Error('550: no mailbox for "customer-' + order % 50 + '"')
  },
})
`

const views = [
  { width: 1440, height: 900, name: 'wide' },
  { width: 360, height: 780, name: 'narrow' },
] as const

async function run(): Promise<void> {
  const handlers = join(directory, 'handlers.ts')
  writeFileSync(handlers, handlerModule)
  const env = {
    ...{ MILLRACE_DATA_DIR: directory, MILLRACE_HTTP_PORT: '0', MILLRACE_GRPC_PORT: '0' },
    MILLRACE_HANDLERS: handlers,
  }
  const config = loadConfig({ env, cwd: directory })
  const server = await startServer(config, { version: '0.1.0', logger: createLogger({ level: 'error', version: '0' }) })
  const client = connect({ addresses: [server.addresses.grpc as string] })
  const browser = await chromium.launch(chromiumOptions())
  const flow = new AbortController()
  const subscription = client.subscribe({ types: ['order.*'] })
  const flowing = sendSamples(flow.signal)
  const worker = client.work({ group: 'stock', type: 'order.*', concurrency: 8, handle() {} })
  try {
    await sleep(flowSeconds * 1000)
    await fetch(`http://${server.addresses.http}/v1/groups/events/mail/pause`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'the mail server moves' }),
    })
    await subscription.next()
    await sendHeartbeats()
    await makeKeys()
    mkdirSync(images, { recursive: true })
    for (const view of views) for (const theme of ['light', 'dark'] as const) await shoot(browser, view, theme)
  } finally {
    flow.abort()
    await flowing
    await worker.close()
    await browser.close()
    client.close()
    await server.close()
  }

  async function sendHeartbeats(): Promise<void> {
    for (const agent_id of ['edge-7', 'edge-8']) {
      await fetch(`http://${server.addresses.http}/v1/heartbeats`, {
        method: 'POST',
        body: JSON.stringify({ agent_id }),
      })
    }
  }

  async function makeKeys(): Promise<void> {
    const limits = { topics: null, types: null, ratePerSecond: null, expiresInSeconds: null }
    const days = 24 * 60 * 60
    await client.keys.create({ ...limits, name: 'console', scopes: ['read', 'operate', 'admin'] })
    await client.keys.create({ ...limits, name: 'mailer', scopes: ['work'], types: ['parcel.*'] })
    const shop = { topics: ['events', 'eu.*'], ratePerSecond: 500, expiresInSeconds: 90 * days }
    await client.keys.create({ ...limits, ...shop, name: 'shop', scopes: ['publish', 'read'] })
    const { description } = await client.keys.create({ ...limits, name: 'shop-old', scopes: ['publish'] })
    await client.keys.revoke(description.keyId)
  }

  async function sendSamples(signal: AbortSignal): Promise<void> {
    for (let batch = 0; !signal.aborted; batch++) {
      const events = samples.flatMap((type, kind) =>
        Array.from({ length: 2 + ((batch + kind) % 5) }, (_, index) => sample(type, batch * 5 + index)),
      )
      await client.publishEvents(events)
      await sleep(1000 / batchesPerSecond)
    }
  }

  async function shoot(from: Browser, view: (typeof views)[number], theme: 'light' | 'dark'): Promise<void> {
    const page = await from.newPage({ viewport: view, colorScheme: theme, deviceScaleFactor: 1 })
    const base = `http://${server.addresses.http}/`
    for (const { name, open } of shots) {
      await page.goto(base)
      await open(page, base)
      await page.screenshot({
        path: join(images, `${name}-${view.name}-${theme}.png`),
        fullPage: name === 'overview' || name === 'try-it',
      })
    }
    await page.close()
  }
}

function sample(type: (typeof samples)[number], n: number) {
  const data = {
    'sensor.reading': { sensor: `s-${n % 7}`, celsius: 18 + (n % 50) / 10 },
    'page.viewed': { path: `/products/${n % 40}` },
    'order.placed': { order: n, cents: 990 + (n % 90) * 100 },
    'payment.captured': { order: n, provider: 'card' },
    'parcel.shipped': { order: n, carrier: n % 2 === 0 ? 'rail' : 'road' },
  }[type]
  const lane = type === 'payment.captured' ? 'high' : type === 'page.viewed' ? 'low' : 'normal'
  return { type, source: '/shop', key: `customer-${n % 50}`, lane, data } as const
}

interface Shot {
  readonly name: string
  open(page: Page, base: string): Promise<void>
}

/** The third action of Try it is the longest. */
async function tryAll(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Send heartbeat' }).click()
  await page.getByRole('button', { name: 'Analyze' }).click()
  await page.getByRole('button', { name: /^Take a sample/ }).click()
  await page.getByRole('button', { name: 'Upload' }).click()
  await page.getByRole('button', { name: 'Publish' }).click()
  const ends = {
    Heartbeat: 'online',
    'Text analysis': 'replied',
    'File upload': 'analyzed',
    'Your own event': 'landed',
  }
  for (const [name, end] of Object.entries(ends)) {
    await page
      .getByRole('region', { name, exact: true })
      .locator('.outcome > header .badge', { hasText: end })
      .waitFor()
  }
}

const shots: readonly Shot[] = [
  {
    name: 'overview',
    open: async (page) => {
      await page.getByRole('heading', { name: 'Deployment' }).waitFor()
      await page.locator('.flow-label.moving').first().waitFor({ state: 'attached' })
      await page.locator('.plot canvas').nth(3).waitFor()
    },
  },
  {
    name: 'events',
    open: async (page, base) => {
      await page.goto(`${base}#/events`)
      await page.locator('.event-line').nth(8).waitFor()
    },
  },
  {
    name: 'try-it',
    open: async (page, base) => {
      await page.goto(`${base}#/try`)
      await tryAll(page)
      await page.evaluate('scrollTo(0, 0)')
    },
  },
  {
    name: 'event',
    open: async (page, base) => {
      const listed = await fetch(`${base}v1/events?type=order.placed&limit=1`)
      const { events } = (await listed.json()) as { events: [{ event_id: string }] }
      await page.goto(`${base}#/events/${events[0].event_id}`)
      await page.locator('.journey .bar').first().waitFor({ state: 'attached' })
    },
  },
  {
    name: 'dead-letters',
    open: async (page, base) => {
      await page.goto(`${base}#/dead-letters`)
      await page.locator('.letter-line').first().waitFor()
    },
  },
  {
    name: 'dead-letter',
    open: async (page, base) => {
      await page.goto(`${base}#/dead-letters?type=order.placed`)
      await page.locator('.letter-line').first().click()
      await page.getByRole('button', { name: 'Edit and redrive' }).click()
      const editor = page.getByRole('textbox', { name: 'Data', exact: true })
      await editor.fill((await editor.inputValue()).replace(/"cents": \d+/, '"cents": 1990'))
      await page.getByRole('button', { name: 'Dry run' }).click()
      await page.getByText('Nothing was changed').waitFor()
    },
  },
  {
    name: 'work',
    open: async (page, base) => {
      await page.goto(`${base}#/work`)
      await page.getByText('the mail server moves').waitFor()
      await page.getByRole('row', { name: /edge-7/ }).waitFor()
    },
  },
  {
    name: 'keys',
    open: async (page, base) => {
      await page.goto(`${base}#/keys`)
      await page.getByRole('row', { name: /^shop-old/ }).waitFor()
    },
  },
]

const directory = mkdtempSync(join(tmpdir(), 'millrace-screenshots-'))
try {
  await run()
} finally {
  rmSync(directory, { recursive: true, force: true })
}
