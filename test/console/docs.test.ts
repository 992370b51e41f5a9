// The page of the API in a real browser: openConsole fails the test when it loads anything from elsewhere. The page makes its
// client of /openapi.json, so that its requests show that a client can be made of that.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { getStatus } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'

test('/docs shows the routes, and its client, made of the document, publishes an event', async (t) => {
  const server = await startInProcess(t)
  const page = await openConsole(t, await openBrowser(t), server)

  await page.goto(`http://${server.http}/docs`)
  await page.getByText('Publish events').click()
  await page.getByRole('button', { name: 'Try it out' }).click()
  await page.locator('textarea.body-param__text').fill('{"type": "order.placed", "data": {"n": 1}}')
  await page.getByRole('button', { name: 'Execute' }).click()
  await page.locator('.live-responses-table').getByText('"durability": "disk"').first().waitFor()

  assert.equal(await page.locator('.errors-wrapper').count(), 0)
  const { ledger } = await getStatus(server.http)
  assert.equal(ledger.find(({ topic }) => topic === 'events')?.accepted, 1)
})
