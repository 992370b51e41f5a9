// Writes lines to stdout, all of a turn of the event loop at once: a line of its own would cost a call of the system each.

import type { Terminal } from './terminal.ts'

const maxHeldLength = 64 * 1024

export class LineWriter {
  readonly #terminal: Pick<Terminal, 'write'>
  readonly #onUnread: () => void
  #text = ''
  #writing: Promise<void> | null = null

  /** @param onUnread called when nobody reads the output any more. */
  constructor(terminal: Pick<Terminal, 'write'>, onUnread: () => void) {
    this.#terminal = terminal
    this.#onUnread = onUnread
  }

  add(line: string): void {
    this.#text += `${line}\n`
    this.#writing ??= this.#write()
  }

  /** Whether to wait for `written()` before the next line. */
  get isFull(): boolean {
    return this.#text.length >= maxHeldLength
  }

  /** Resolves when all lines have left, or nobody reads them. */
  async written(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#text !== '') {
      const text = this.#text
      this.#text = ''
      if (!(await this.#terminal.write(text))) this.#onUnread()
    }
    this.#writing = null
  }
}
