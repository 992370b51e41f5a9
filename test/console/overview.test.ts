import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { cleanup } from '../support/cleanup.ts'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { freePort } from '../support/free-port.ts'
import { postEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained } from '../support/tally.ts'

test('the overview', async (t) => {
  // It comes back at the same address.
  const server = await startInProcess(t, { env: { MILLRACE_HTTP_PORT: String(await freePort()) } })
  const browser = await openBrowser(t)

  await t.test('says what to do where nothing has happened', async (t) => {
    const page = await openConsole(t, browser, server)

    await page.getByText('npx millrace produce 1000').waitFor()
    await page.getByRole('status', { name: 'State of the server' }).getByText('ok').waitFor()
  })

  await t.test('shows a paused group with its reason, and resumes it', async (t) => {
    const paused = await request(server.http, '/v1/groups/events/landing/pause', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"reason":"the table is rebuilt"}',
    })
    assert.equal(paused.status, 200, paused.text)
    await postEvents(server.http, JSON.stringify(Array.from({ length: 20 }, () => ({ type: 'order.placed' }))))
    const page = await openConsole(t, browser, server)
    const attention = page.getByRole('list', { name: 'What needs attention' })

    await attention.getByText('20 waiting; the table is rebuilt').waitFor()
    await page.locator('.box.bad', { hasText: 'paused · 20 waiting' }).waitFor()
    await attention.getByRole('button', { name: 'Resume' }).click()

    await attention.waitFor({ state: 'detached' })
    await drained(server)
    await page.getByRole('row', { name: 'events landing 20 0 0 20 0 0 balanced' }).waitFor()
  })

  await t.test('has the numbers of each chart as a table', async (t) => {
    const page = await openConsole(t, browser, server)

    const chart = page.getByRole('figure').filter({ hasText: 'Accepted and landed' })
    await chart.locator('canvas').waitFor()
    await chart.getByText('Numbers by minute').click()

    await chart.getByRole('columnheader', { name: 'accepted, highest' }).waitFor()
  })

  await t.test('fits a phone, and a wide screen', async (t) => {
    for (const width of [360, 1440]) {
      const page = await openConsole(t, browser, server, '/', { width })
      await page.getByRole('heading', { name: 'Deployment' }).waitFor()
      const content = await page.evaluate<number>('document.documentElement.scrollWidth')
      assert.ok(content <= width, `the page of ${width} px has content of ${content} px`)
    }
  })

  await t.test('is reached by keyboard alone', async (t) => {
    const page = await openConsole(t, browser, server, '/keys')
    await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor()

    for (const name of ['Skip to the page', 'Millrace', 'Overview']) {
      await page.keyboard.press('Tab')
      assert.equal(await page.evaluate('document.activeElement?.textContent'), name)
    }
    await page.keyboard.press('Enter')

    await page.getByRole('heading', { name: 'Ledger' }).waitFor()
  })

  await t.test('names the part that fails', async (t) => {
    const page = await openConsole(t, browser, server)
    const light = page.getByRole('status', { name: 'State of the server' })
    await light.getByText('ok').waitFor()
    const database = new DatabaseSync(join(server.dataDir, 'store.db'), { timeout: 5000 })
    cleanup(t, () => database.close())

    database.exec('ALTER TABLE events RENAME TO events_elsewhere')
    await postEvents(server.http, '{"type":"order.placed"}')
    await light.getByText('degraded: landing').waitFor()
    await page.getByRole('list', { name: 'What needs attention' }).getByText('outage', { exact: true }).waitFor()
    database.exec('ALTER TABLE events_elsewhere RENAME TO events')

    await light.getByText('ok').waitFor()
  })

  await t.test('says so within 5 seconds when the server is gone, and heals when it is back', async (t) => {
    const page = await openConsole(t, browser, server)
    const light = page.getByRole('status', { name: 'State of the server' })
    await light.getByText('ok').waitFor()
    await page.getByRole('heading', { name: 'Ledger' }).waitFor()

    await server.stop()
    await light.getByText('down').waitFor({ timeout: 5000 })
    await page.getByText('These figures are the last that came').waitFor()
    await server.start()

    await light.getByText('ok').waitFor()
    await page.getByText('These figures are the last that came').waitFor({ state: 'detached' })
  })
})
