// A progress line on a terminal.

import type { Terminal } from './terminal.ts'

const barWidth = 24
const redrawMs = 100

/** Draws on stderr, below all notes; does nothing when stderr is not a terminal. */
export class ProgressBar {
  readonly #terminal: Terminal
  readonly #describe: () => { readonly share: number | null; readonly text: string }
  readonly #timer: NodeJS.Timeout | undefined

  /** @param describe returns the share that is done, 0 to 1 (null: unknown), and the text after the bar. */
  constructor(terminal: Terminal, describe: () => { readonly share: number | null; readonly text: string }) {
    this.#terminal = terminal
    this.#describe = describe
    if (!process.stderr.isTTY) return
    terminal.footer = { clear: () => process.stderr.write('\r\x1b[K'), draw: () => this.#draw() }
    this.#timer = setInterval(() => this.#draw(), redrawMs)
    this.#timer.unref()
  }

  /** Removes the line. */
  close(): void {
    clearInterval(this.#timer)
    this.#terminal.footer = null
  }

  #draw(): void {
    const { share, text } = this.#describe()
    const bar = share === null ? '' : `${formatBar(share)} ${String(Math.floor(share * 100)).padStart(3)} %  `
    // Cut to the terminal's width, because a wrapped line could not be removed.
    const line = `${bar}${text}`.slice(0, (process.stderr.columns || 80) - 1)
    process.stderr.write(`\r${this.#terminal.paint('cyan', line, process.stderr)}\x1b[K`)
  }
}

export function formatBar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * barWidth)
  return `[${'#'.repeat(full)}${'-'.repeat(barWidth - full)}]`
}
