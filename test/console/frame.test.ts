import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { barriersOf, logIn, openBrowser, openConsole } from '../support/console-page.ts'
import { postEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { drained } from '../support/tally.ts'

const maxFirstLoadBytes = 150_000

test('the console', async (t) => {
  const server = await startInProcess(t)
  const browser = await openBrowser(t)

  await t.test('loads its first page with at most 150 kB', async (t) => {
    const page = await openConsole(t, browser, server, '/keys')
    const sizes: number[] = []
    page.on('response', (response) => sizes.push(Number(response.headers()['content-length'])))
    await page.goto(`http://${server.http}/#/`)
    sizes.length = 0
    await page.reload()
    await page.getByRole('heading', { name: 'Deployment' }).waitFor()

    const bytes = sizes.filter(Number.isInteger).reduce((sum, size) => sum + size, 0)
    t.diagnostic(`${bytes} bytes`)
    assert.ok(bytes > 50_000 && bytes <= maxFirstLoadBytes, `${bytes} bytes`)
  })

  await t.test('says that the server is down when it does not even refuse', async (t) => {
    const page = await openConsole(t, browser, server)
    await page.getByRole('status', { name: 'State of the server' }).getByText('ok').waitFor()
    await page.route('**/readyz', () => {})

    await page.getByRole('status', { name: 'State of the server' }).getByText('down').waitFor({ timeout: 6000 })
  })

  await t.test('says so when a page cannot be loaded, and keeps the others', async (t) => {
    const page = await openConsole(t, browser, server)
    await page.getByRole('heading', { name: 'Deployment' }).waitFor()
    await page.route('**/assets/work-page*', (route) => route.abort())
    await page.getByRole('link', { name: 'Work' }).click()
    await page.getByRole('button', { name: 'Load the console again' }).waitFor()
    await page.getByRole('link', { name: 'Keys' }).click()

    await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor()
  })

  await t.test('offers a key what it is for, and forgets the session at its end', async (t) => {
    const locked = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' } })
    const adminKey = readFileSync(join(locked.dataDir, 'admin.key'), 'utf8').trim()
    const { text } = await request(locked.http, '/v1/keys', {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'shop', scopes: ['publish'] }),
    })
    const page = await openConsole(t, browser, locked, '/try')
    await logIn(page, JSON.parse(text).key)
    await page.getByRole('button', { name: 'Publish' }).click()
    await page.getByRole('list', { name: /^Activity/ }).waitFor()
    for (const path of ['/', '/dead-letters', '/work']) {
      await page.goto(`http://${locked.http}/#${path}`)
      await page.getByText('Your key has not the scope read').waitFor()
    }
    await page.goto(`http://${locked.http}/#/events`)
    await page.getByText('Your key has not the scope subscribe').waitFor()

    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByLabel('Key', { exact: true }).waitFor()
    assert.equal(await page.evaluate('sessionStorage.length'), 0)
  })

  await t.test('has no barrier on any page, light or dark', async (t) => {
    await postEvents(server.http, '[{"type":"order.placed","id":"a-1","data":{"n":1}},{"type":"order.placed"}]')
    await request(server.http, '/v1/heartbeats', { method: 'POST', body: '{"agent_id":"edge-7"}' })
    await drained(server)
    const pages = {
      '/': 'Deployment',
      '/try': 'Activity',
      '/events': 'Events',
      '/events/a-1/~2F': 'Journey',
      '/dead-letters': 'Dead letters',
      '/work': 'Subscribers',
      '/keys': 'Keys of callers',
    }
    const found: string[] = []
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await openConsole(t, browser, server)
      await page.emulateMedia({ colorScheme })
      for (const [path, heading] of Object.entries(pages)) {
        await page.goto(`http://${server.http}/#${path}`)
        await page.getByRole('heading', { name: heading, exact: true }).waitFor()
        for (const barrier of await barriersOf(page)) found.push(`${path}, ${colorScheme}: ${barrier}`)
      }
    }
    assert.deepEqual(found, [])
  })
})
