import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { logIn, openBrowser, openConsole } from '../support/console-page.ts'
import { startInProcess } from '../support/in-process-server.ts'

test('keys', async (t) => {
  const server = await startInProcess(t, { env: { MILLRACE_AUTH: 'keys' } })
  const browser = await openBrowser(t)
  const adminKey = readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim()
  const create = async (page: Page, name: string, scope: string) => {
    await page.getByRole('button', { name: 'Create a key …' }).press('Enter')
    await page.getByLabel('Name: whose key it is').fill(name)
    await page.getByRole('checkbox', { name: scope }).press('Space')
    await page.getByLabel('Topics').fill('events, eu.*')
    await page.getByLabel('Expires in days').fill('30')
    await page.getByRole('button', { name: 'Create', exact: true }).press('Enter')
    const shown = page.getByRole('status', { name: 'The new key' }).locator('code')
    const key = (await shown.textContent()) ?? ''
    await page.getByRole('button', { name: 'I have it' }).press('Enter')
    await shown.waitFor({ state: 'detached' })
    return key
  }

  await t.test('that the page makes log in, are revoked by the page, and their session ends', async (t) => {
    const admin = await openConsole(t, browser, server, '/keys')
    await logIn(admin, adminKey)
    const key = await create(admin, 'shop', 'read')
    assert.match(key, /^mr_[0-9A-Za-z]{12}_/)
    const row = admin.getByRole('row', { name: /^shop/ })
    await row.getByText('events, eu.*').waitFor()
    assert.doesNotMatch(await admin.content(), new RegExp(key.slice(16)))

    const shop = await openConsole(t, browser, server, '/keys')
    await logIn(shop, key)
    await shop.getByText('The key of this session, shop, is for read').waitFor()
    assert.equal(await shop.getByRole('button', { name: 'Create a key …' }).count(), 0)
    await shop.goto(`http://${server.http}/#/work`)
    await shop.getByRole('listitem', { name: 'landing of events' }).waitFor()
    assert.ok(await shop.getByRole('button', { name: 'Pause …' }).first().isDisabled())

    await row.getByRole('button', { name: /^Revoke/ }).press('Enter')
    await admin.getByRole('heading', { name: 'Revoke shop?' }).waitFor()
    await admin.getByRole('button', { name: 'Revoke 1 key' }).press('Enter')
    await row.getByText('revoked').waitFor()
    await shop.bringToFront()
    await shop.getByLabel('Key', { exact: true }).waitFor()
  })

  await t.test('that cannot be are refused with the reason', async (t) => {
    const page = await openConsole(t, browser, server, '/keys', { width: 360 })
    await logIn(page, adminKey)
    await page.getByRole('button', { name: 'Create a key …' }).click()
    await page.getByLabel('Name: whose key it is').fill('<b>bold</b>')
    await page.getByRole('checkbox', { name: 'publish' }).click()
    await page.getByLabel('Rate, in events per second').fill('many')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'Rate: a whole number' }).waitFor()
    await page.getByLabel('Rate, in events per second').fill('5')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'name' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })

    const content = await page.evaluate<number>('document.documentElement.scrollWidth')
    assert.ok(content <= 360, `the page of 360 px has content of ${content} px`)
  })
})

test('keys where none is asked for: the page says so', async (t) => {
  const server = await startInProcess(t)
  const page = await openConsole(t, await openBrowser(t), server, '/keys')

  await page.getByText('This server asks for no key').waitFor()
  await page.getByText('There is no key yet').waitFor()
})
