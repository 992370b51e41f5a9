// Sample events for `millrace produce`: orders of a small shop, numbered.

import type { EventInput } from '../event/event-input.ts'
import type { EventSource } from './event-source.ts'

const products = ['notebook', 'pencil', 'lamp', 'chair', 'teapot', 'bicycle bell', 'umbrella']

export interface SampleOptions {
  readonly count: number
  readonly type: string
  /** Size of the data in bytes; fields that do not fit are left out. */
  readonly payloadBytes: number
}

/** Events whose data is a JSON object with `n`, their number from 1. */
export class SampleEvents implements EventSource {
  readonly #options: SampleOptions
  /** Reused for all events, which are encoded as soon as they are taken: allocating one per event would double the cost. */
  readonly #buffer: Buffer
  #made = 0

  constructor(options: SampleOptions) {
    this.#options = options
    this.#buffer = Buffer.alloc(options.payloadBytes + 32)
  }

  take(): EventInput | null {
    if (this.#made === this.#options.count) return null
    const length = this.#buffer.write(this.#dataOf(++this.#made), 'latin1')
    return { source: '/millrace/produce', type: this.#options.type, data: this.#buffer.subarray(0, length) }
  }

  async fill(): Promise<boolean> {
    return this.#made < this.#options.count
  }

  close(): void {}

  #dataOf(n: number): string {
    const number = `{"n":${n}`
    const product = products[n % products.length]
    const order = `,"customer":"c-${n % 1000}","product":"${product}","quantity":${1 + (n % 5)},"cents":${990 + (n % 90) * 100}`
    const head = number.length + order.length + noteBytes <= this.#options.payloadBytes ? number + order : number
    const padding = this.#options.payloadBytes - head.length - noteBytes
    return padding < 0 ? `${head}}` : `${head},"note":"${'.'.repeat(padding)}"}`
  }
}

const noteBytes = ',"note":""}'.length
