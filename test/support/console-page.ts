// A page of the console in a real browser, in a window of its own, that must not break its rules.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { TestContext } from 'node:test'
import { type Browser, chromium, type Page } from 'playwright-core'
import { chromiumOptions } from './chromium.ts'
import { cleanup } from './cleanup.ts'

/** A check of many pages costs more than of one, on a machine that does other things too. */
const maxWaitMs = 20_000

export async function openBrowser(t: TestContext): Promise<Browser> {
  const browser = await chromium.launch(chromiumOptions())
  cleanup(t, () => browser.close())
  return browser
}

export interface PageOptions {
  readonly width?: number
  readonly height?: number
}

/**
 * Opens `#PATH` of the console of a server. When the test ends, nothing may have been loaded from elsewhere, been refused by
 * the content security policy, or thrown.
 */
export async function openConsole(
  t: TestContext,
  browser: Browser,
  server: { readonly http: string },
  path = '/',
  { width = 1440, height = 900 }: PageOptions = {},
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height } })
  page.setDefaultTimeout(maxWaitMs)
  const origin = `http://${server.http}`
  const wrong: string[] = []
  page.on('pageerror', (error) => wrong.push(`thrown: ${error.message}`))
  page.on('console', (message) => {
    if (/content security policy/i.test(message.text())) wrong.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`)) wrong.push(`loaded from elsewhere: ${request.url()}`)
  })
  cleanup(t, async () => {
    await page.close()
    assert.deepEqual(wrong, [])
  })
  await page.goto(`${origin}/#${path}`)
  return page
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Violation {
  readonly id: string
  readonly help: string
  readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary?: string }[]
}

/** What in the page, as it is now, keeps people from using it, as far as a program can tell. */
export async function barriersOf(page: Page): Promise<readonly string[]> {
  // Not as a script of the page: its content security policy refuses those.
  await page.evaluate(`${axe}; undefined`)
  const violations = await page.evaluate<readonly Violation[]>('axe.run().then(({ violations }) => violations)')
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary = '' }) => `${id}: ${help}: ${target.join(' ')}: ${failureSummary}`),
  )
}

/** Logs in with a key where the server asks for one. */
export async function logIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('Key', { exact: true }).fill(key)
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Log out' }).waitFor()
}
