// The certificate with which the servers speak TLS, read again when its files change.
//
// Job: TLS options for the servers, and new ones for them when the files have changed; a file that cannot be used is
// logged, and the certificate before it stays.
// Not its job: what the files must contain (config/tls-files.ts).

import type { SecureContextOptions, Server, TlsOptions } from 'node:tls'
import {
  certificateWarning,
  minTlsVersion,
  readServerTls,
  type ServerTls,
  type ServerTlsSettings,
} from '../config/tls-files.ts'
import type { Logger } from '../telemetry/logger.ts'

export interface ServerCertificateOptions {
  readonly config: ServerTlsSettings
  readonly logger: Logger
  /** The wall clock, in milliseconds since 1970. */
  readonly now: () => number
  /** How often the files are read again, in milliseconds; default 2,000. */
  readonly readEveryMs?: number
}

export class ServerCertificate {
  readonly #options: ServerCertificateOptions
  readonly #servers = new Set<Server>()
  readonly #timer: NodeJS.Timeout
  #current: ServerTls
  #isReading = false
  /** Why the files cannot be used, and how many reads in a row have found that; null after a good read. */
  #problem: { readonly message: string; readonly reads: number } | null = null

  /** Null when the configuration has no certificate. Throws ConfigError, naming the file and what is wrong with it. */
  static async open(options: ServerCertificateOptions): Promise<ServerCertificate | null> {
    const read = await readServerTls(options.config)
    return read === null ? null : new ServerCertificate(options, read)
  }

  private constructor(options: ServerCertificateOptions, read: ServerTls) {
    this.#options = options
    this.#current = read
    this.#warn()
    this.#timer = setInterval(() => void this.#readAgain(), options.readEveryMs ?? 2000)
    this.#timer.unref()
  }

  /** For a new server. */
  get tlsOptions(): TlsOptions {
    const isMutual = this.#current.clientCa !== null
    return { ...this.#context, requestCert: isMutual, rejectUnauthorized: isMutual }
  }

  /** From now on, new connections of the server get the certificate as it then is. Open ones are not affected. */
  renew(server: Server): void {
    this.#servers.add(server)
    server.once('close', () => this.#servers.delete(server))
  }

  close(): void {
    clearInterval(this.#timer)
  }

  get #context(): SecureContextOptions {
    const { cert, key, clientCa: ca, clientCrl: crl } = this.#current
    return { cert, key, minVersion: minTlsVersion, ...(ca === null ? {} : { ca }), ...(crl === null ? {} : { crl }) }
  }

  async #readAgain(): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    try {
      const read = await readServerTls(this.#options.config)
      this.#problem = null
      if (read === null || textOf(read) === textOf(this.#current)) return
      this.#current = read
      for (const server of this.#servers) server.setSecureContext(this.#context)
      const { validToDate, subject } = read.certificate
      this.#options.logger.info({ subject, valid_to: validToDate.toISOString() }, 'the TLS certificate was replaced')
      this.#warn()
    } catch (error) {
      this.#keep(error as Error)
    } finally {
      this.#isReading = false
    }
  }

  /** Logged once, when it lasts: the files may have been read while only one of certificate and key was replaced. */
  #keep({ message }: Error): void {
    const reads = this.#problem?.message === message ? this.#problem.reads + 1 : 1
    this.#problem = { message, reads }
    if (reads !== 2) return
    this.#options.logger.error(
      { reason: message },
      'the new TLS files cannot be used; the certificate before them stays',
    )
  }

  #warn(): void {
    const warning = certificateWarning(this.#current, this.#options.now())
    if (warning !== null) this.#options.logger.warn(warning)
  }
}

function textOf({ cert, key, clientCa, clientCrl }: ServerTls): string {
  return [cert, key, clientCa, clientCrl].join('\n')
}
