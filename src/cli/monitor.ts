// `millrace monitor`: what a running server does, as it does it. On a terminal a screen, else a line each time.
//
// All it shows comes over gRPC from one server: it needs neither the data directory nor the services behind it.

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
import { serverAddresses } from './server-addresses.ts'
import type { Terminal } from './terminal.ts'

export async function run(input: CommandInput): Promise<number> {
  const { terminal, configInput } = input
  const [seconds] = input.arguments
  const config = loadConfig({ ...configInput, isForClient: true })
  const interval = textOption(input, 'interval')
  const intervalMs = interval === undefined ? watchIntervalMs.default : Number(interval) * 1000
  const client = connect({ addresses: () => serverAddresses(config) })
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
        state.hear(observed, Date.now())
        view.onChange()
      },
      onAway: (reason) => {
        state.lose(reason)
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
    throw new MillraceError('unavailable', state.away?.reason ?? 'no server has answered')
  }
  return exitCodes.done
}

interface View {
  onChange(): void
  close(): Promise<void>
}

async function openTerminalView({ terminal }: CommandInput, state: MonitorState, onQuit: () => void): Promise<View> {
  // React keeps a record of every drawing otherwise, for its developer tools.
  process.env.NODE_ENV ??= 'production'
  // Takes 0.4 s, so only a screen waits for it.
  const { openScreen } = await import('./monitor/screen.ts')
  const paint: Terminal['paint'] = (style, text) => terminal.paint(style, text)
  const screen = openScreen({ state, paint, stdout: process.stdout, stdin: process.stdin, onQuit })
  return { onChange: () => screen.draw(), close: () => screen.close() }
}

/** A line for each look; while the server is away one each interval. */
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
      if (state.away !== null && timer !== undefined) return
      print()
      if (state.away === null) stop()
      else timer = setInterval(print, intervalMs)
    },
    close: async () => stop(),
  }
}
