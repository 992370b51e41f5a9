// An emulated terminal that keeps what is shown; it supports the sequences that ink uses.

import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'

/** The escape sequences that ink writes: CSI, an optional prefix, parameters and the command. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with it.
const sequence = /^\u001b\[([?>=<]?)([\d;]*)([a-zA-Z])/

export class FakeTerminal extends EventEmitter {
  readonly isTTY = true
  readonly columns: number
  readonly rows: number
  /** Keyboard input. */
  readonly stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    isRaw: false,
    setRawMode(isRaw: boolean) {
      this.isRaw = isRaw
      return this
    },
    ref() {},
    unref() {},
  })
  /** Whether the alternate screen is shown. */
  isAlternate = false
  written = ''
  #cells: string[][]
  #row = 0
  #column = 0
  /** Whether anything was written beyond the last column or below the last row. */
  overflowed = false

  constructor(columns: number, rows: number) {
    super()
    this.columns = columns
    this.rows = rows
    this.#cells = Array.from({ length: rows }, () => [])
  }

  /** The lines shown now. */
  get lines(): string[] {
    return this.#cells.map((cells) =>
      Array.from(cells, (cell) => cell ?? ' ')
        .join('')
        .trimEnd(),
    )
  }

  get text(): string {
    return this.lines.join('\n')
  }

  write(chunk: string | Uint8Array, ...rest: unknown[]): boolean {
    const text = String(chunk)
    this.written += text
    for (let at = 0; at < text.length; ) at += this.#take(text.slice(at))
    const done = rest.find((each) => typeof each === 'function') as (() => void) | undefined
    if (done !== undefined) queueMicrotask(done)
    return true
  }

  end(): void {}

  /** Executes the sequence or character at the beginning and returns its length. */
  #take(text: string): number {
    const found = sequence.exec(text)
    if (found !== null) {
      const [all, mark, numbers = '', what = ''] = found
      if (mark === '') this.#move(what, numbers)
      else if (numbers === '1049') this.isAlternate = what === 'h'
      return all.length
    }
    const [character = ''] = text
    if (character === '\n') {
      this.#column = 0
      this.#row++
    } else if (character === '\r') this.#column = 0
    else this.#put(character)
    return character.length
  }

  #put(character: string): void {
    if (this.#row >= this.rows || this.#column >= this.columns) {
      this.overflowed = true
      return
    }
    this.#cells[this.#row]![this.#column++] = character
  }

  #move(what: string, numbers: string): void {
    const [first, second] = numbers.split(';').map(Number)
    const count = first || 1
    switch (what) {
      case 'A':
        this.#row = Math.max(0, this.#row - count)
        break
      case 'E':
        this.#row += count
        this.#column = 0
        break
      case 'G':
        this.#column = count - 1
        break
      case 'C':
        this.#column += count
        break
      case 'H':
        this.#row = count - 1
        this.#column = (second || 1) - 1
        break
      case 'K':
        this.#cells[Math.min(this.#row, this.rows - 1)]!.length = first === 2 ? 0 : this.#column
        break
      case 'J':
        for (let row = first === 2 ? 0 : this.#row + 1; row < this.rows; row++) this.#cells[row] = []
        if (first !== 2 && this.#row < this.rows) this.#cells[this.#row]!.length = this.#column
        break
      // Colours are ignored.
      default:
    }
  }
}
