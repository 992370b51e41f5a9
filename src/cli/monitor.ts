// `millrace monitor`: shows live figures of a running server: a screen on a terminal, else one line per update.
//
// All figures come over gRPC from one server: it needs no access to the data directory, Redis or the database.

import { connect } from '../client/connect.ts'
import { loadConfig } from '../config/config.ts'
import { MillraceError } from '../errors.ts'
import { watchIntervalMs } from '../pipeline/observations.ts'
import { type CommandInput, textOption } from './command.ts'
import { exitCodeOfSignal, exitCodes } from './exit-codes.ts'
import { Interruption } from './interruption.ts'
import { followStatus } from './monitor/follow-status.ts'
import { MonitorState } from './monitor/monitor-state.ts'
import { jsonLine, plainLine } from './monitor/plain-line.ts'
import { connectOptions } from './server-addresses.ts'
import type { Terminal } from './terminal.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal, configInput } = input
  const [seconds] = input.arguments
  const config = loadConfig({ ...configInput, isForClient: true })
  const interval = textOption(input, 'interval')
  const intervalMs = interval === undefined ? watchIntervalMs.default : Number(interval) * 1000
  const client = connect(connectOptions(config))
  const interruption = new Interruption()
  const quit = new AbortController()
  const timer = seconds === undefined ? undefined : setTimeout(() => quit.abort(), Number(seconds) * 1000)
  const signal = AbortSignal.any([interruption.signal, quit.signal])
  const state = new MonitorState(Date.now())
  const view =
    process.stdout.isTTY && !terminal.json
      ? await openTerminalView(input, state, () => quit.abort())
      : openLineView(input, state, intervalMs)
  signal.addEventListener('abort', () => client.close())
  try {
    await followStatus(client, {
      intervalMs,
      signal,
      onObserved: (observed) => {
        state.update(observed, Date.now())
        view.onChange()
      },
      onUnreachable: (reason) => {
        state.markUnreachable(reason)
        view.onChange()
      },
    })
  } finally {
    clearTimeout(timer)
    quit.abort()
    await view.close()
    interruption.close()
  }
  if (interruption.received !== null) return exitCodeOfSignal(interruption.received)
  if (state.observed === null && seconds !== undefined) {
    throw new MillraceError('unavailable', state.outage?.reason ?? 'no server answered')
  }
  return exitCodes.done
}

interface View {
  onChange(): void
  close(): Promise<void>
}

async function openTerminalView({ terminal }: CommandInput, state: MonitorState, onQuit: () => void): Promise<View> {
  // React's development build would keep a record of every render.
  process.env.NODE_ENV ??= 'production'
  // Loading ink takes 0.4 s, so only the screen does it.
  const { openScreen } = await import('./monitor/screen.ts')
  const paint: Terminal['paint'] = (style, text) => terminal.paint(style, text)
  const screen = openScreen({ state, paint, stdout: process.stdout, stdin: process.stdin, onQuit })
  return { onChange: () => screen.draw(), close: () => screen.close() }
}

/** One line per update; while the server is unreachable one per interval. */
function openLineView({ terminal }: CommandInput, state: MonitorState, intervalMs: number): View {
  let timer: NodeJS.Timeout | undefined
  const print = () => {
    if (terminal.json) terminal.printJson(jsonLine(state, Date.now()))
    else terminal.print(plainLine(state, Date.now()))
  }
  const stop = () => {
    clearInterval(timer)
    timer = undefined
  }
  return {
    onChange: () => {
      if (state.outage !== null && timer !== undefined) return
      print()
      if (state.outage === null) stop()
      else timer = setInterval(print, intervalMs)
    },
    close: async () => stop(),
  }
}
