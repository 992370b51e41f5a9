import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { styleText } from 'node:util'
import { FakeTerminal } from './fake-terminal.test-support.ts'
import { MonitorState } from './monitor-state.ts'
import { type ObservedParts, observedWith } from './observed.test-support.ts'
import { openScreen } from './screen.ts'

const startMs = Date.UTC(2026, 10, 21, 9, 10, 5)

/** A state after these observations, one second apart. */
function stateOf(...observations: readonly ObservedParts[]): MonitorState {
  const state = new MonitorState(startMs)
  for (const [index, parts] of observations.entries()) {
    state.update(observedWith({ uptimeSeconds: 100 + index, ...parts }), startMs + index * 1000)
  }
  return state
}

/** Opens the screen and waits until it is drawn. */
async function shown(t: TestContext, state: MonitorState, columns: number, rows: number, isColored = false) {
  const screen = new FakeTerminal(columns, rows)
  let quits = 0
  const opened = openScreen({
    state,
    paint: (style, text) => (isColored ? styleText(style, text, { validateStream: false }) : text),
    stdout: screen as unknown as NodeJS.WriteStream,
    stdin: screen.stdin as unknown as NodeJS.ReadStream,
    onQuit: () => quits++,
  })
  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    await opened.close()
  }
  t.after(close)
  await opened.drawn()
  return { screen, opened, close, quits: () => quits }
}

const busy: ObservedParts[] = [
  { ledger: { accepted: 100, landed: 100 } },
  {
    ledger: { accepted: 12_500, landed: 12_200, dead: 3 },
    group: { waiting: 12_400, inFlight: 4000, oldestWaitingSeconds: 95 },
    store: {
      recent: {
        events: 1000,
        types: [
          { type: 'order.placed', events: 700 },
          { type: 'a.very.long.type.of.event.that.is.cut', events: 200 },
          ...Array.from({ length: 8 }, (_, index) => ({ type: `rare-${index}`, events: 10 })),
        ],
      },
      deadLetters: { open: 3, redriven: 2, more: false },
      statements: { calls: 1204, meanSeconds: 0.0382, rows: 2_300_100 },
    },
    log: { usedBytes: 910 * 1024 ** 2, limitBytes: 1000 * 1024 ** 2 },
  },
]

test('a screen of 80 columns and 24 rows shows everything, and nothing beyond its edges', async (t) => {
  const { screen } = await shown(t, stateOf(...busy), 80, 24)

  assert.equal(screen.overflowed, false)
  assert.equal(screen.lines.at(-1), '', 'the last row must stay free, or the terminal scrolls')
  for (const words of [
    /^millrace 1\.2\.3, up 101\.0 s +q quits$/m,
    /^durability disk \(aof-always\) · log redis, epoch 1 · store postgres, up$/m,
    /^accepted +12,400 +▁?█/m,
    /^landed +12,100 /m,
    /^rejected +0 /m,
    /^dead +3\.0 /m,
    /^lanes +high 0 normal 0 low 0/m,
    /NEWEST 1,000 EVENTS BY TYPE$/m,
    /order\.placed +700 █+$/m,
    /a\.very\.long\.type\.of… +200 █+$/m,
    /^TOPIC +GROUP +WAITING +OLDEST +IN FLIGHT +LANDED\/S +STATE$/m,
    /^events +landing +12,400 +95\.0 s +4,000 +12,100 +running$/m,
    /^landing +–$/m,
    /^dead +dead letters 3, 2 redriven$/m,
    /^size +events table 1 GiB · Redis memory 910 MiB of 1000 MiB \(91 %\)$/m,
    /^postgres 1,204 statements · 2,300,100 rows · mean 38 ms · by pg_stat_statements$/m,
    /^! landing is behind by 12,400 events, growing by 12,400\/s: /m,
  ]) {
    assert.match(screen.text, words)
  }
})

test('a small terminal keeps the most important lines, a large one shows more', async (t) => {
  const state = stateOf(...busy)
  const small = (await shown(t, state, 40, 10)).screen
  const large = (await shown(t, state, 160, 50)).screen

  assert.equal(small.overflowed, false)
  assert.match(small.text, /^millrace/)
  assert.match(small.text, /^accepted/m)
  assert.match(small.text, /^! landing is behind/m)
  assert.equal(large.overflowed, false)
  for (const words of [/rare-7/, /millrace dead-letters list/, /Redis memory at 91 % of maxmemory/]) {
    assert.match(large.text, words)
  }
})

test('only the painter adds colours', async (t) => {
  const plain = (await shown(t, stateOf(...busy), 80, 24)).screen
  const colored = (await shown(t, stateOf(...busy), 80, 24, true)).screen
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with it.
  const colors = /\u001b\[\d+m/
  assert.doesNotMatch(plain.written, colors)
  assert.match(colored.written, colors)
  assert.equal(colored.text, plain.text)
})

test('the screen shows that it is connecting, and that the server is unreachable', async (t) => {
  const state = new MonitorState(Date.now() - 12_000)
  const { screen, opened } = await shown(t, state, 80, 24)
  assert.match(screen.text, /connecting/)

  state.markUnreachable('no Millrace server answers at 127.0.0.1:50051')
  opened.draw()
  await opened.drawn()

  assert.match(screen.text, /^no answer since \d\d:\d\d:\d\d \(1\d s\), retrying: no Millrace server answers at/m)
})

test('q and Ctrl-C quit, other keys do nothing, and the terminal is restored', async (t) => {
  const { screen, close, quits } = await shown(t, stateOf(...busy), 80, 24)
  assert.deepEqual([screen.isAlternate, screen.stdin.isRaw], [true, true])

  for (const key of ['x', 'q', '\u0003']) {
    screen.stdin.write(key)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await close()

  assert.equal(quits(), 2)
  assert.deepEqual([screen.isAlternate, screen.stdin.isRaw], [false, false])
})
