// Where a command prints: data on stdout, everything else on stderr.

import { styleText } from 'node:util'

export interface TerminalOptions {
  /** One JSON document instead of text for people. */
  readonly json: boolean
  /** False: never. True: where the stream is a terminal, as NO_COLOR and FORCE_COLOR say. */
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

  /** Data, for people or for programs. */
  print(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value))
  }

  /** A remark, a warning, a question: not data. */
  note(text: string): void {
    this.#footer?.clear()
    process.stderr.write(`${text}\n`)
    this.#footer?.draw()
  }

  /** A line that stays below all remarks, such as a progress bar; null takes it away. */
  set footer(footer: { clear(): void; draw(): void } | null) {
    this.#footer?.clear()
    this.#footer = footer
  }

  paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
    return this.#color ? styleText(style, text, { stream }) : text
  }
}
