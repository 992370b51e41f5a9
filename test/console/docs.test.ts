// The page of the API in a real browser: openConsole fails the test when it loads anything from elsewhere.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { startInProcess } from '../support/in-process-server.ts'

test('/docs shows the routes, and sends a request from the page', async (t) => {
  const server = await startInProcess(t)
  const page = await openConsole(t, await openBrowser(t), server)

  await page.goto(`http://${server.http}/docs`)
  await page.getByText('Publish events').waitFor()
  await page.getByText('Get the version').click()
  await page.getByRole('button', { name: 'Try it out' }).click()
  await page.getByRole('button', { name: 'Execute' }).click()
  await page.locator('.live-responses-table').getByText(process.version).first().waitFor()

  assert.equal(await page.locator('.errors-wrapper').count(), 0)
})
