// Output of a command: data to stdout, everything else to stderr.

import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

export interface TerminalOptions {
  /** JSON instead of text for people. */
  readonly json: boolean
  /** Whether --output was given. */
  readonly isFormGiven: boolean
  /** False: no colours. True: colours on a terminal, subject to NO_COLOR and FORCE_COLOR. */
  readonly color: boolean
  readonly stdout: Writable
  readonly stderr: Writable
}

export type Style = Parameters<typeof styleText>[0]

export class Terminal {
  readonly json: boolean
  /** JSON also where nobody has asked for a table and the output is not a terminal. For commands that print lines without end. */
  readonly jsonLines: boolean
  readonly #color: boolean
  readonly #stdout: Writable
  readonly #stderr: Writable
  #footer: { clear(): void; draw(): void } | null = null

  constructor({ json, isFormGiven, color, stdout, stderr }: TerminalOptions) {
    this.json = json
    this.jsonLines = json || !(isFormGiven || isTerminal(stdout))
    this.#color = color
    this.#stdout = stdout
    this.#stderr = stderr
  }

  /** Prints data to stdout. */
  print(text: string): void {
    this.#stdout.write(`${text}\n`)
  }

  /** Prints data, and resolves when it has left: with false when nobody reads it any more. */
  write(text: string): Promise<boolean> {
    return new Promise((resolve) => this.#stdout.write(text, (error) => resolve(error == null)))
  }

  /** Prints data as it is; a text that does not end with a line break gets one. */
  printBytes(bytes: Uint8Array, isText: boolean): void {
    this.#stdout.write(bytes)
    if (isText && bytes.length > 0 && bytes.at(-1) !== 0x0a) this.#stdout.write('\n')
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value))
  }

  /** Prints a note or warning, which is not data, to stderr. */
  note(text: string): void {
    this.#footer?.clear()
    this.#stderr.write(`${text}\n`)
    this.#footer?.draw()
  }

  /** A line that stays below all notes, such as a progress bar; null removes it. */
  set footer(footer: { clear(): void; draw(): void } | null) {
    this.#footer?.clear()
    this.#footer = footer
  }

  /** Columns of the terminal; 80 when that is unknown. */
  get width(): number {
    return ('columns' in this.#stdout && Number(this.#stdout.columns)) || 80
  }

  paint(style: Style, text: string, stream: Writable = this.#stdout): string {
    return this.#color ? styleText(style, text, { stream }) : text
  }
}

function isTerminal(stream: Writable): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}
