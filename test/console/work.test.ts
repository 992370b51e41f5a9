import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, dead, defineHandler } from '../../src/index.ts'
import { cleanup } from '../support/cleanup.ts'
import { openBrowser, openConsole } from '../support/console-page.ts'
import { postEvents, request } from '../support/http-client.ts'
import { startInProcess } from '../support/in-process-server.ts'

const hostile = '<img src=x onerror="window.hasRun=true"><script>window.hasRun=true</script>'

test('work', async (t) => {
  let isBroken = true
  const ledger = defineHandler({
    ...{ group: 'ledger', type: 'entry', ordered: true, retry: { maxAttempts: 1 }, onExhausted: 'hold' },
    handle: () => {
      if (isBroken) throw new Error('the ledger is closed')
    },
  })
  const server = await startInProcess(t, { handlers: [ledger] })
  const browser = await openBrowser(t)
  const client = connect({ addresses: [server.grpc] })
  cleanup(t, () => client.close())
  const publish = async (...events: object[]) => {
    const { status } = await postEvents(server.http, JSON.stringify(events))
    assert.equal(status, 202)
  }

  await t.test('says what to do where nobody works, and reaches it by keyboard', async (t) => {
    const page = await openConsole(t, browser, server)
    await page.getByRole('link', { name: 'Work' }).press('Enter')

    await page.getByText('No worker is connected').waitFor()
    await page.getByText('No agent has sent a heartbeat').waitFor()
    const landing = page.getByRole('listitem', { name: 'landing of events' })
    await landing.getByText('running').waitFor()
    // The server declares these two: they cannot be deleted.
    await page.getByRole('listitem', { name: 'ledger of events' }).waitFor()
    assert.equal(await page.getByRole('button', { name: 'Delete …' }).count(), 0)
  })

  await t.test('has a paused group, found from the overview and resumed in two clicks', async (t) => {
    const page = await openConsole(t, browser, server, '/work')
    const landing = page.getByRole('listitem', { name: 'landing of events' })
    await landing.getByRole('button', { name: 'Pause …' }).press('Enter')
    await page.getByLabel('Reason, for those who find it paused').fill(`it moves ${hostile}`)
    await page.keyboard.press('Enter')
    await landing.getByText(`it moves ${hostile}`).waitFor()
    await landing.getByText('paused', { exact: true }).waitFor()
    await publish({ type: 'order.placed' }, { type: 'order.placed' })

    const other = await openConsole(t, browser, server)
    const attention = other.getByRole('list', { name: 'What needs attention' })
    await attention.getByText('2 waiting').waitFor()
    await attention.getByRole('link', { name: 'landing' }).click()
    const found = other.getByRole('listitem', { name: 'landing of events' })
    await found.getByRole('button', { name: 'Resume', exact: true }).click()

    await found.getByText('running').waitFor()
    await page.bringToFront()
    await landing.getByText('running').waitFor()
    assert.equal(await other.evaluate('"hasRun" in window'), false)
  })

  await t.test('is limited to a rate, and freed', async (t) => {
    const page = await openConsole(t, browser, server, '/work')
    const landing = page.getByRole('listitem', { name: 'landing of events' })
    await landing.getByRole('button', { name: 'Limit …' }).click()
    const rate = page.getByLabel('Rate, in events per second')
    await rate.fill('0')
    await page.getByText('The rate is a whole number').waitFor()
    await rate.fill('70')
    await page.keyboard.press('Enter')
    await landing.getByText('at most 70 events per second').waitFor()
    await landing.getByRole('button', { name: 'Full speed' }).click()

    await landing.getByRole('button', { name: 'Full speed' }).waitFor({ state: 'detached' })
  })

  await t.test('has held keys, which are skipped after a question, and released', async (t) => {
    await publish(...['a', 'a', `b/${hostile}`].map((key) => ({ type: 'entry', key })))
    const page = await openConsole(t, browser, server, '/work')
    await page.getByRole('listitem', { name: 'ledger of events' }).getByRole('button', { name: 'Held keys' }).click()
    const window = page.getByRole('dialog')
    const first = window.getByRole('listitem', { name: 'a', exact: true })
    await first.getByText('2 events').waitFor()
    await first.getByRole('button', { name: 'Skip …' }).click()
    await first.getByText('1 more wait').waitFor()
    await first.getByRole('button', { name: 'Skip 1 event' }).click()
    await first.getByText('1 event,').waitFor()

    isBroken = false
    for (const key of ['a', `b/${hostile}`]) {
      const held = window.getByRole('listitem', { name: key, exact: true })
      await held.getByRole('button', { name: 'Release' }).click()
      await held.waitFor({ state: 'detached' })
    }
    await window.getByText('No key is held now').waitFor()
    assert.equal(await page.evaluate('"hasRun" in window'), false)
  })

  await t.test('has workers, agents and subscribers, and a group that is deleted with what it abandons', async (t) => {
    const worker = client.work({ group: 'mailer', type: 'mail', handle: () => dead('no such address') })
    const subscription = client.subscribe({ subscriberId: 'follower' })
    await subscription.next()
    await request(server.http, '/v1/heartbeats', { method: 'POST', body: '{"agent_id":"edge-7"}' })
    const page = await openConsole(t, browser, server, '/work')
    const mailer = page.getByRole('listitem', { name: 'mailer of events' })
    await page.getByRole('row', { name: /127\.0\.0\.1:\d+ mailer events/ }).waitFor()
    await page.getByRole('row', { name: /edge-7 online/ }).waitFor()
    await page.getByRole('row', { name: /follower events live/ }).waitFor()

    await worker.close()
    await publish({ type: 'mail' }, { type: 'mail' }, { type: 'mail' })
    await mailer.getByText('no worker').waitFor()
    await mailer.locator('dl').getByText('3').first().waitFor()
    await mailer.getByRole('button', { name: 'Delete …' }).press('Enter')
    await page.getByText('3 events that wait for it are abandoned').waitFor()
    await page.getByRole('button', { name: 'Delete and abandon 3' }).click()

    await mailer.waitFor({ state: 'detached' })
    const { text } = await request(server.http, '/v1/groups')
    assert.doesNotMatch(text, /mailer/)
  })

  await t.test('fits a phone', async (t) => {
    const page = await openConsole(t, browser, server, '/work', { width: 360 })
    await page.getByRole('listitem', { name: 'landing of events' }).waitFor()
    const content = await page.evaluate<number>('document.documentElement.scrollWidth')
    assert.ok(content <= 360, `the page of 360 px has content of ${content} px`)
  })
})
