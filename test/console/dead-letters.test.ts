import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dead, defineHandler } from '../../src/index.ts'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { eventually } from '../support/eventually.ts'
import { postEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { changeStore, queryStore } from '../support/store-file.ts'

const hostile = '<img src=x onerror="window.hasRun=true"><script>window.hasRun=true</script>'

test('dead letters', async (t) => {
  let isOutOfStock = true
  let isBadTaken = false
  const shop = defineHandler({
    group: 'shop',
    types: ['order.placed', 'order.bad'],
    handle: ({ type }) => {
      const isTaken = type === 'order.bad' ? isBadTaken : !isOutOfStock
      return isTaken ? undefined : dead(`out of stock ${hostile}`)
    },
  })
  const server = await startInProcess(t, { handlers: [shop] })
  changeStore(
    server.dataDir,
    `CREATE TRIGGER picky BEFORE INSERT ON events WHEN NEW.type = 'poison' AND NEW.data NOT LIKE '%ok%'
       BEGIN SELECT RAISE(ABORT, 'this table takes no poison'); END`,
  )
  const browser = await openBrowser(t)
  const lettersOf = async (type: string) => {
    const { text } = await request(server.http, `/v1/dead-letters?redriven=false&type=${type}`)
    return JSON.parse(text).dead_letters as object[]
  }
  const die = async (type: string, events: readonly object[]) => {
    const { status } = await postEvents(server.http, JSON.stringify(events.map((event) => ({ type, ...event }))))
    assert.equal(status, 202)
    await eventually(async () => assert.equal((await lettersOf(type)).length, events.length))
  }

  await t.test('say what to do where there are none', async (t) => {
    const page = await openConsole(t, browser, server, '/dead-letters')

    await page.getByText('comes here by itself').waitFor()
    await page.getByRole('button', { name: 'Redrive these …' }).and(page.locator(':disabled')).waitFor()
  })

  await t.test('are found by cause, edited, compared, tried and redriven, and land', async (t) => {
    await die('poison', [{ id: '01930000-0000-7000-8000-000000000007', data: { state: 'bad', total: 1.5 } }])
    const page = await openConsole(t, browser, server, '/dead-letters')
    await page.getByRole('row', { name: /^1 poison refused_by_store .* events → landing/ }).waitFor()
    await page.getByRole('link', { name: /poison.*this table takes no poison/ }).click()
    await page.getByRole('row', { name: /^1 .*refused_by_store .*this table takes no poison .*events\/.*@/ }).waitFor()

    await page.getByRole('button', { name: 'Edit and redrive' }).click()
    const editor = page.getByRole('textbox', { name: 'Data', exact: true })
    await editor.fill((await editor.inputValue()).replace('"bad"', '"bad'))
    await page.getByRole('button', { name: 'Dry run' }).click()
    await page.getByRole('alert').filter({ hasText: 'JSON' }).waitFor()
    await editor.fill((await editor.inputValue()).replace('"bad', '"ok"'))
    const comparison = page.getByRole('region', { name: 'What was sent against what is edited' })
    await comparison.locator('.removed', { hasText: '"bad"' }).waitFor()
    await comparison.locator('.added', { hasText: '"ok"' }).waitFor()
    await page.getByRole('button', { name: 'Dry run' }).click()
    await page.getByText('Dry run: 1 dead letter would be sent again').waitFor()
    assert.equal((await lettersOf('poison')).length, 1)
    await page.getByRole('dialog').getByRole('button', { name: 'Redrive', exact: true }).click()

    await page.getByRole('status').filter({ hasText: 'It has landed' }).waitFor()
    const [row] = queryStore(server.dataDir, `SELECT data FROM events WHERE type = 'poison'`)
    assert.deepEqual(JSON.parse(String(row?.data)), { state: 'ok', total: 1.5 })
    await page.getByRole('link', { name: '← Dead letters' }).click()
    await page.getByText('comes here by itself').waitFor()
  })

  await t.test('that fail again lead to the newer letter', async (t) => {
    await die('order.bad', [{ id: '01930000-0000-7000-8000-000000000008' }])
    const page = await openConsole(t, browser, server, '/dead-letters?type=order.bad')
    await page.getByRole('link', { name: /order\.bad/ }).click()
    await page.getByRole('button', { name: 'Redrive', exact: true }).click()

    await page.getByText('It has failed again').waitFor()
    const before = page.url()
    await page.getByRole('link', { name: 'the newer dead letter' }).click()
    await page.getByText('redriven once').waitFor()
    assert.notEqual(page.url(), before)

    isBadTaken = true
    await page.getByRole('button', { name: 'Redrive', exact: true }).click()
    await page.getByText('The group is done with it').waitFor()
  })

  await t.test('of a filter are counted, listed and redriven at a rate, and the redrive is stopped', async (t) => {
    const count = 450
    await die(
      'order.placed',
      Array.from({ length: 100 }, () => ({})),
    )
    // The list of the API has 100 by default.
    await postEvents(server.http, JSON.stringify(Array.from({ length: count - 100 }, () => ({ type: 'order.placed' }))))
    const page = await openConsole(t, browser, server, '/dead-letters')
    await page.getByRole('row', { name: new RegExp(`^${count} order.placed .* events → shop`) }).waitFor()
    await page.getByRole('button', { name: 'order.placed' }).click()
    assert.match(page.url(), /#\/dead-letters\?.*type=order\.placed/)
    await page.getByText(`${count}, newest first`).waitFor()
    const list = page.getByRole('region', { name: 'Dead letters, newest first' })
    const lineHeight = 34
    await eventually(async () => {
      await list.press('End')
      assert.equal((await list.locator('ol').boundingBox())?.height, count * lineHeight)
    })
    // Only the lines in view are in the page.
    assert.ok((await list.getByRole('link').count()) < 60)

    isOutOfStock = false
    await page.getByRole('button', { name: 'Redrive these …' }).click()
    const window = page.getByRole('dialog')
    await window.getByText(`Dry run: ${count} dead letters would be sent again.`).waitFor()
    const rate = window.getByLabel('Rate, in events per second')
    await rate.fill('0')
    await window.getByText('The rate is a whole number').waitFor()
    await rate.fill('20')
    await page.keyboard.press('Enter')
    await window.getByText(/^[1-9]\d* of 450 sent again …/).waitFor()
    await window.getByRole('button', { name: 'Stop' }).click()
    await window.getByText('the list has what is left').waitFor()
    await window.getByRole('button', { name: 'Close' }).click()

    await page.getByRole('button', { name: 'Redrive these …' }).click()
    const left = await window.getByText(/^Dry run: \d+ dead letters would be sent again\./).textContent()
    assert.ok(Number(/\d+/.exec(left ?? '')?.[0]) < count, left ?? '')
    await window.getByRole('button', { name: /^Redrive \d+ dead letters$/ }).click()
    await window.getByText('Done.').waitFor()
    await page.keyboard.press('Escape')
    await page.getByText('No dead letter matches that is open').waitFor()
    assert.deepEqual(await lettersOf('order.placed'), [])
  })

  await t.test('are deleted after a question, by keyboard', async (t) => {
    await die('poison', [{ data: { state: 'bad' } }])
    const page = await openConsole(t, browser, server, '/dead-letters?type=poison')
    await page.getByRole('link', { name: /poison/ }).press('Enter')
    await page.getByRole('button', { name: 'Delete' }).press('Enter')
    await page.getByRole('heading', { name: 'Delete 1 dead letter?' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    assert.equal((await lettersOf('poison')).length, 1)
    await page.getByRole('button', { name: 'Delete' }).press('Enter')
    await page.getByRole('button', { name: 'Delete 1 dead letter' }).press('Enter')

    await page.getByText('No dead letter matches').waitFor()
    assert.match(page.url(), /#\/dead-letters\?type=poison$/)
    assert.deepEqual(await lettersOf('poison'), [])
  })

  await t.test('are shown as text, whatever is in them, and fit a phone', async (t) => {
    changeStore(
      server.dataDir,
      `CREATE TRIGGER hostile BEFORE INSERT ON events WHEN NEW.source = 'x'
         BEGIN SELECT RAISE(ABORT, 'no ${hostile.replaceAll("'", '')}'); END`,
    )
    const event = { source: 'x', id: hostile, subject: hostile, key: hostile, data: { [hostile]: hostile } }
    await postEvents(server.http, JSON.stringify([{ type: hostile, ...event }]))
    const page = await openConsole(t, browser, server, '/dead-letters', { width: 360 })
    await page.locator('.letter-line .type', { hasText: hostile }).click()
    await page.getByRole('heading', { name: hostile }).waitFor()
    await page.getByRole('definition').filter({ hasText: hostile }).first().waitFor()
    await page.getByRole('button', { name: 'Edit and redrive' }).click()
    await page.getByRole('textbox', { name: 'Data', exact: true }).waitFor()

    assert.equal(await page.evaluate('"hasRun" in window'), false)
    const content = await page.evaluate<number>('document.documentElement.scrollWidth')
    assert.ok(content <= 360, `the page of 360 px has content of ${content} px`)
  })
})
