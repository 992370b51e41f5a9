import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { postEvents } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'

const hostile = '<img src=x onerror="window.hasRun=true"><script>window.hasRun=true</script>'

test('events', async (t) => {
  const server = await startInProcess(t)
  const browser = await openBrowser(t)
  const publish = async (...events: object[]) => {
    const { status } = await postEvents(server.http, JSON.stringify(events))
    assert.equal(status, 202)
  }

  await t.test('appear as they come, wait while the list is paused, and are filtered', async (t) => {
    const page = await openConsole(t, browser, server, '/events')
    const lines = page.locator('.event-line')
    await page.getByText('live', { exact: true }).waitFor()

    await publish({ type: 'first.one', source: '/shop', data: { n: 1 } })
    await lines.filter({ hasText: 'first.one' }).waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await publish({ type: 'second.one' })
    await page.getByText('2 received').waitFor()
    assert.equal(await lines.count(), 1)
    await page.getByRole('button', { name: 'Go on' }).click()
    await lines.filter({ hasText: 'second.one' }).waitFor()

    await page.getByLabel('Type').fill('third.*')
    await page.getByRole('button', { name: 'Filter' }).click()
    await page.getByText('0 received').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    await publish({ type: 'other' }, { type: 'third.one' })
    await lines.filter({ hasText: 'third.one' }).waitFor()
    assert.equal(await lines.count(), 1)
  })

  await t.test('that have landed are searched', async (t) => {
    await publish({ type: 'wanted', id: 'w-1' }, { type: 'unwanted', id: 'u-1' })
    const page = await openConsole(t, browser, server, '/events')
    await page.getByRole('tab', { name: 'Landed' }).click()
    await page.getByLabel('Type').fill('wanted')
    await page.getByRole('button', { name: 'Search' }).click()

    await page.getByText('1 shown').waitFor()
    await page.locator('.event-line', { hasText: 'w-1' }).waitFor()
    await page.getByLabel('Type').fill('none.such')
    await page.getByRole('button', { name: 'Search' }).click()
    await page.getByText('No landed event matches').waitFor()
  })

  await t.test('are found by id, shown with every digit, edited and sent again', async (t) => {
    const raw =
      '[{"type":"digits","id":"01930000-0000-7000-8000-000000000002","data":{"large":12345678901234567890,"zero":1.50}}]'
    await postEvents(server.http, raw)
    const page = await openConsole(t, browser, server)

    await page.getByLabel('Find by id').fill('01930000-0000-7000-8000-000000000002')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'digits' }).waitFor()
    await page.getByText('"large": 12345678901234567890').waitFor()
    await page.getByRole('row', { name: /^accepted/ }).waitFor()

    await page.getByRole('button', { name: 'Edit and send again' }).click()
    const editor = page.getByLabel('Event as JSON')
    const draft = await editor.inputValue()
    assert.match(draft, /"zero": 1\.50/)
    await editor.fill(draft.replace('1.50', '2.75'))
    await page.getByRole('button', { name: 'Send', exact: true }).click()
    await page.getByRole('link', { name: 'Its journey' }).click()
    await page.getByText('"zero": 2.75').waitFor()
    assert.doesNotMatch(page.url(), /000000000002/)
  })

  await t.test('that do not exist are said to be missing', async (t) => {
    const page = await openConsole(t, browser, server)
    await page.getByLabel('Find by id').fill('no such id')
    await page.keyboard.press('Enter')

    await page.getByRole('dialog').getByText('Nothing found').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  })

  await t.test('are shown as text, whatever a producer puts in them', async (t) => {
    await publish({
      ...{
        type: hostile,
        id: `h ${hostile}`,
        source: hostile,
        subject: hostile,
        key: hostile,
        data: { [hostile]: hostile },
      },
      attributes: { note: hostile },
    })
    const page = await openConsole(t, browser, server, '/events')
    await page.locator('.event-line', { hasText: hostile }).click()

    await page.getByRole('heading', { name: hostile }).waitFor()
    await page.getByRole('definition').filter({ hasText: hostile }).first().waitFor()
    assert.equal(await page.evaluate('"hasRun" in window'), false)
  })
})
