import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Page } from 'playwright-core'
import { cleanup } from '../support/cleanup.ts'
import { logIn, openBrowser, openConsole } from '../support/console-page.ts'
import { eventually } from '../support/eventually.ts'
import { request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'

const hostile = '<img src=x onerror="window.hasRun=true">'

test('try it', async (t) => {
  const server = await startInProcess(t)
  const browser = await openBrowser(t)
  const panel = (page: Page, title: string) => page.getByRole('region', { name: title, exact: true })
  const activities = (page: Page) => page.getByRole('list', { name: 'Activity, newest first' }).getByRole('listitem')
  const stepsOf = (page: Page, title: string) => panel(page, title).locator('.way td:first-child')

  await t.test('a heartbeat is followed to its row and to the table of agents', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    await page.getByText('Nothing was sent from this tab yet').waitFor()
    await page.getByLabel('Agent').fill("o'brien")
    await page.getByRole('button', { name: 'Send heartbeat' }).click()

    await panel(page, 'Heartbeat').locator('.outcome > header .badge.good', { hasText: 'online' }).waitFor()
    const { status, text } = await request(server.http, "/v1/agents/o'brien")
    assert.equal(status, 200, text)
    await activities(page).filter({ hasText: "o'brien" }).getByRole('link').click()
    await page.getByRole('heading', { name: 'agent.heartbeat' }).waitFor()
    await page.getByText('"from": "a browser"').waitFor()
  })

  await t.test('the curl line of a heartbeat does the same, whatever is in it', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    const agent = `it's "$HOME" & @x`
    await page.getByLabel('Agent').fill(agent)
    const line = await panel(page, 'Heartbeat').locator('.command-line code').textContent()

    await promisify(execFile)('sh', ['-c', `${line} --fail --silent`])

    await eventually(async () => {
      const { status, text } = await request(server.http, `/v1/agents/${encodeURIComponent(agent)}`)
      assert.equal(status, 200, text)
      assert.deepEqual(JSON.parse(text).metadata, { from: 'a browser' })
    })
  })

  await t.test('a text is analyzed by a worker, and the request has a page', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    await page.getByLabel('Text', { exact: true }).fill('one two\nthree')
    await page.getByLabel('Text', { exact: true }).press('Control+Enter')

    const answer = panel(page, 'Text analysis').locator('.answer')
    await answer.getByText('"words": 3').waitFor()
    assert.deepEqual(
      (await stepsOf(page, 'Text analysis').allTextContents()).map(
        (text) => text.split(/(?<=sent|accepted|replied)/)[0],
      ),
      ['sent', 'accepted', 'replied'],
    )
    await panel(page, 'Text analysis').getByRole('link', { name: 'Its page' }).click()
    await page.getByRole('heading', { name: 'text.analyze' }).waitFor()
    await page.getByRole('row', { name: /^replied by a worker, attempt 1/ }).waitFor()
    await page.getByText('"words": 3').waitFor()
  })

  await t.test('a file is uploaded with its progress, analyzed, and found by its id', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    const content = Buffer.from('to be or not to be\n'.repeat(50_000))
    await page
      .getByLabel('File', { exact: true })
      .setInputFiles({ name: 'Straße "1".txt', mimeType: 'text/plain', buffer: content })
    await page.getByRole('button', { name: 'Upload' }).click()

    const upload = panel(page, 'File upload')
    await upload.getByText('"words": 300000').waitFor()
    await upload.getByRole('link', { name: 'Its page' }).click()
    await page.getByRole('heading', { name: 'Straße "1".txt' }).waitFor()
    const id = decodeURIComponent(page.url().split('/').at(-1) as string)

    await page.getByLabel('Find by id').fill(id)
    await page.keyboard.press('Enter')
    const found = page.getByRole('dialog')
    await found.getByRole('button', { name: 'request' }).click()
    await page.getByText('"words": 300000').waitFor()
    await page.goBack()
    const download = page.waitForEvent('download')
    await page.getByRole('link', { name: 'Save it' }).click()
    assert.equal((await download).suggestedFilename(), 'Straße "1".txt'.replaceAll('"', '_'))
  })

  await t.test('an upload is cancelled, and nothing is stored', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    // So slow that it lasts.
    const session = await page.context().newCDPSession(page)
    await session.send('Network.enable')
    const speed = { latency: 0, downloadThroughput: -1, uploadThroughput: 500_000 }
    await session.send('Network.emulateNetworkConditions', { offline: false, ...speed })
    await page.getByRole('button', { name: /^Take a sample/ }).click()
    await page.getByRole('button', { name: 'Upload' }).click()

    await page.getByRole('progressbar', { name: 'Sent' }).waitFor()
    await page.getByRole('button', { name: 'Cancel' }).click()

    await activities(page).filter({ hasText: 'cancelled' }).waitFor()
    await eventually(() => {
      const refused = server.logLines().find(({ message }) => message === 'upload refused')
      assert.match(String(refused?.code), /^(invalid_event|cancelled)$/)
    })
    await page.getByRole('progressbar', { name: 'Sent' }).waitFor({ state: 'detached' })
  })

  await t.test('an event is checked before it is sent, keeps every digit, and is kept for the tab', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    const [editor, publish] = [page.getByLabel('Event', { exact: true }), page.getByRole('button', { name: 'Publish' })]
    await editor.fill('{"type": "own.event", "data": {"n": 1,}}')
    await page.getByText('This is not JSON').waitFor()
    assert.equal(await publish.isDisabled(), true)
    await editor.fill('{"data": 1}')
    await page.getByText('type is missing').waitFor()

    const text = `{"type": "own.event", "source": "/me", "data": {"large": 12345678901234567890, "text": "${hostile.replaceAll('"', "'")}"}}`
    await editor.fill(text)
    await publish.click()
    await panel(page, 'Your own event').locator('.outcome > header .badge.good', { hasText: 'landed' }).waitFor()
    await page.reload()
    assert.equal(await editor.inputValue(), text)
    await activities(page).filter({ hasText: 'own.event to events' }).getByRole('link').click()
    await page.getByText('"large": 12345678901234567890').waitFor()
    assert.equal(await page.evaluate('"hasRun" in window'), false)
  })

  await t.test('a refusal says what to do', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    await page.getByLabel('Topic').fill('no.such.topic')
    await page.getByRole('button', { name: 'Publish' }).click()

    await panel(page, 'Your own event').getByRole('alert').getByText('no.such.topic').waitFor()
    await activities(page).filter({ hasText: 'failed' }).waitFor()
  })

  await t.test('what is given up becomes a dead letter, and says so', async (t) => {
    const page = await openConsole(t, browser, server, '/try')
    await page.getByLabel('Topic').fill('heartbeats')
    await page.getByLabel('Event', { exact: true }).fill('{"type":"agent.heartbeat","data":1}')
    await page.getByRole('button', { name: 'Publish' }).click()

    await panel(page, 'Your own event')
      .getByRole('row', { name: /given up/ })
      .waitFor()
  })

  await t.test('behind a path of a proxy it works, and the curl line has the path', async (t) => {
    const page = await openConsole(t, browser, { http: `${await proxyOf(t, server)}/under/here` }, '/try')
    await page.getByRole('button', { name: 'Analyze' }).click()
    await panel(page, 'Text analysis').locator('.answer').getByText('"words": 6').waitFor()

    const line = await panel(page, 'Text analysis').locator('.command-line code').textContent()
    const { stdout } = await promisify(execFile)('sh', ['-c', `${line} --fail --silent`])
    assert.equal(JSON.parse(stdout).words, 6)
  })

  await t.test('where keys are on, the curl line takes the key of the shell', async (t) => {
    const locked = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' } })
    const key = readFileSync(join(locked.dataDir, 'admin.key'), 'utf8').trim()
    const page = await openConsole(t, browser, locked, '/try')
    await logIn(page, key)
    const line = await panel(page, 'Text analysis').locator('.command-line code').textContent()

    const env = { ...process.env, MILLRACE_KEY: key }
    const { stdout } = await promisify(execFile)('sh', ['-c', `${line} --fail --silent`], { env })
    assert.equal(JSON.parse(stdout).words, 6)
  })

  await t.test('fits a phone', async (t) => {
    const page = await openConsole(t, browser, server, '/try', { width: 360 })
    await page.getByRole('button', { name: 'Analyze' }).click()
    await panel(page, 'Text analysis').locator('.answer').waitFor()

    const content = await page.evaluate<number>('document.documentElement.scrollWidth')
    assert.ok(content <= 360, `the page has content of ${content} px`)
  })
})

/** A proxy that has the server under the path /under/here; returns its host and port. */
async function proxyOf(t: TestContext, server: { readonly http: string }): Promise<string> {
  const proxy = createServer((incoming, outgoing) => {
    const { method, headers, url = '' } = incoming
    const onward = send(`http://${server.http}${url.replace('/under/here', '')}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    outgoing.on('close', () => onward.destroy())
    onward.on('error', () => outgoing.destroy())
    incoming.pipe(onward)
  })
  proxy.listen(0, '127.0.0.1')
  cleanup(t, () => {
    proxy.closeAllConnections()
    proxy.close()
  })
  await once(proxy, 'listening')
  return `127.0.0.1:${(proxy.address() as AddressInfo).port}`
}
