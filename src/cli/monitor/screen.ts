// The monitor on a terminal, drawn by ink on the alternate screen; closing restores the previous content.

import { Box, render, Text, useInput, useWindowSize } from 'ink'
import { createElement } from 'react'
import type { Style } from '../terminal.ts'
import type { MonitorState } from './monitor-state.ts'
import { screenLines } from './screen-lines.ts'

export interface ScreenOptions {
  readonly state: MonitorState
  readonly paint: (style: Style, text: string) => string
  readonly stdout: NodeJS.WriteStream
  readonly stdin: NodeJS.ReadStream
  /** Called when q or Ctrl-C is pressed. */
  readonly onQuit: () => void
}

export interface Screen {
  /** Draws the current state. */
  draw(): void
  /** Resolves when the drawing is written to the terminal. */
  drawn(): Promise<void>
  /** Restores the terminal. */
  close(): Promise<void>
}

/** The duration of an outage is updated each second. */
const redrawMs = 1000

export function openScreen(options: ScreenOptions): Screen {
  const { stdout, stdin } = options
  const view = () => createElement(Monitor, { options, nowMs: Date.now() })
  const ink = render(view(), {
    stdout,
    stdin,
    exitOnCtrlC: false,
    patchConsole: false,
    alternateScreen: true,
    incrementalRendering: true,
    // Interactive even when the environment variable CI is set.
    interactive: true,
  })
  const draw = () => ink.rerender(view())
  const timer = setInterval(draw, redrawMs)
  return {
    draw,
    drawn: () => ink.waitUntilRenderFlush(),
    close: async () => {
      clearInterval(timer)
      ink.unmount()
      await ink.waitUntilExit()
    },
  }
}

function Monitor({ options, nowMs }: { readonly options: ScreenOptions; readonly nowMs: number }) {
  const { state, paint, stdin, onQuit } = options
  const size = useWindowSize()
  useInput(
    (input, key) => {
      if (input === 'q' || (key.ctrl && input === 'c')) onQuit()
    },
    // When stdin is not a terminal, Ctrl-C arrives as a signal.
    { isActive: stdin.isTTY === true },
  )
  const lines = screenLines(state, size, nowMs, paint)
  return createElement(
    Box,
    { flexDirection: 'column' },
    // An empty text would have no height.
    lines.map((line, index) => createElement(Text, { key: index, wrap: 'truncate-end' }, line === '' ? ' ' : line)),
  )
}
