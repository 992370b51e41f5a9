// Output of a command: data to stdout, everything else to stderr.

import { styleText } from 'node:util'

export interface TerminalOptions {
  /** JSON instead of text for people. */
  readonly json: boolean
  /** False: no colours. True: colours on a terminal, subject to NO_COLOR and FORCE_COLOR. */
  readonly color: boolean
}

export type Style = Parameters<typeof styleText>[0]

export class Terminal {
  readonly json: boolean
  readonly #color: boolean
  #footer: { clear(): void; draw(): void } | null = null

  constructor({ json, color }: TerminalOptions) {
    this.json = json
    this.#color = color
  }

  /** Prints data to stdout. */
  print(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value))
  }

  /** Prints a note or warning, which is not data, to stderr. */
  note(text: string): void {
    this.#footer?.clear()
    process.stderr.write(`${text}\n`)
    this.#footer?.draw()
  }

  /** A line that stays below all notes, such as a progress bar; null removes it. */
  set footer(footer: { clear(): void; draw(): void } | null) {
    this.#footer?.clear()
    this.#footer = footer
  }

  paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
    return this.#color ? styleText(style, text, { stream }) : text
  }
}
