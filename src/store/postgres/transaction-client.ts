// A connection whose transactions set their own timeouts, for a pooler that hands each transaction to another session.

import type { ClientConfig } from 'pg'
import { BoundedClient } from './bounded-client.ts'

/** BEGIN as the first statement of a text, behind comments. */
const begin = /^((?:\s|--.*\n)*BEGIN\b[^;]*)(?:;|$)/

export class TransactionClient extends BoundedClient {
  readonly #setTimeouts: string | null

  /** @param setTimeouts statements that begin each transaction; null where the session has the settings. */
  constructor(config: ClientConfig, setTimeouts: string | null) {
    super(config)
    this.#setTimeouts = setTimeouts
  }

  /** As the driver's. A statement outside a transaction gets one; a COPY must be inside one already. */
  // biome-ignore lint/suspicious/noExplicitAny: the driver declares nine overloads.
  override query(...given: any[]): any {
    const [text, ...rest] = given
    if (this.#setTimeouts === null || typeof text !== 'string' || this.getTransactionStatus() !== 'I') {
      return super.query(...(given as [string]))
    }
    if (begin.test(text)) {
      return super.query(text.replace(begin, `$1; ${this.#setTimeouts}`), ...(rest as []))
    }
    const callback = typeof rest.at(-1) === 'function' ? rest.pop() : null
    const result = this.#inTransaction(text, rest)
    if (callback === null) return result
    result.then(
      (rows) => callback(null, rows),
      (error) => callback(error),
    )
  }

  async #inTransaction(text: string, parameters: unknown[]): Promise<unknown> {
    await super.query(`BEGIN; ${this.#setTimeouts}`)
    try {
      const result = await super.query(text, ...(parameters as []))
      await super.query('COMMIT')
      return result
    } catch (thrown) {
      await super.query('ROLLBACK').catch(() => {})
      throw thrown
    }
  }
}
