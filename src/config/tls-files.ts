// What the PEM files of TLS contain, or every problem with them at once.
//
// Job: read the files that the settings name, and check that certificates, keys and authorities can be used together.
// Not its job: reading them again when they change (api/server-certificate.ts; clients read them for each connection).

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Config, ConfigError, type ConfigProblem, systemAuthorities } from './config.ts'
import { settings } from './config-table.ts'

/** PEM texts. */
export interface ServerTls {
  readonly cert: string
  readonly key: string
  /** Null: clients need no certificate. */
  readonly clientCa: string | null
  /** Null: no client certificate is looked up in a list. */
  readonly clientCrl: string | null
  readonly certificate: X509Certificate
}

/** PEM texts. */
export interface ClientTlsFiles {
  /** Absent: the authorities that this machine trusts. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

type FileKey = 'tlsCert' | 'tlsKey' | 'tlsClientCa' | 'tlsClientCrl' | 'tlsCa' | 'tlsClientCert' | 'tlsClientKey'

export type ServerTlsSettings = Pick<Config, 'tlsCert' | 'tlsKey' | 'tlsClientCa' | 'tlsClientCrl'>
export type ClientTlsSettings = Pick<Config, 'tlsCa' | 'tlsClientCert' | 'tlsClientKey'>

/**
 * The files of the server; null when it listens without TLS.
 *
 * @throws ConfigError a file cannot be read, is not what it should be, or the key is not that of the certificate.
 */
export async function readServerTls(config: ServerTlsSettings): Promise<ServerTls | null> {
  const files = new Files(config)
  const [cert, key, clientCa, clientCrl] = await Promise.all([
    files.certificate('tlsCert'),
    files.key('tlsKey'),
    files.certificate('tlsClientCa'),
    files.revocations('tlsClientCrl'),
  ])
  files.checkPair('tlsCert', cert, key)
  files.finish()
  if (cert === null || key === null) return null
  const [ca, crl] = [clientCa?.text ?? null, clientCrl?.text ?? null]
  return { cert: cert.text, key: key.text, clientCa: ca, clientCrl: crl, certificate: cert.value }
}

/**
 * The files of a client; null when it connects without TLS.
 *
 * @throws ConfigError as readServerTls.
 */
export async function readClientTls(config: ClientTlsSettings): Promise<ClientTlsFiles | null> {
  if (config.tlsCa === null && config.tlsClientCert === null) return null
  const files = new Files(config)
  const [ca, cert, key] = await Promise.all([
    config.tlsCa === systemAuthorities ? null : files.certificate('tlsCa'),
    files.certificate('tlsClientCert'),
    files.key('tlsClientKey'),
  ])
  files.checkPair('tlsClientCert', cert, key)
  files.finish()
  return {
    ...(ca === null ? {} : { ca: ca.text }),
    ...(cert === null || key === null ? {} : { cert: cert.text, key: key.text }),
  }
}

/** What clients will refuse although the files fit together; null when there is nothing. */
export function certificateWarning({ certificate }: ServerTls, nowMs: number): string | null {
  const { validFromDate: from, validToDate: to } = certificate
  if (to.getTime() < nowMs) {
    return `MILLRACE_TLS_CERT: the certificate expired at ${to.toISOString()}, so clients refuse it; replace the file`
  }
  if (from.getTime() > nowMs) {
    return `MILLRACE_TLS_CERT: the certificate is valid from ${from.toISOString()} on, so clients refuse it until then`
  }
  return null
}

interface Pem<Value> {
  readonly text: string
  readonly value: Value
}

class Files {
  readonly #config: Partial<Pick<Config, FileKey>>
  readonly #problems: ConfigProblem[] = []

  constructor(config: Partial<Pick<Config, FileKey>>) {
    this.#config = config
  }

  /** The first certificate of the file. */
  certificate(key: FileKey): Promise<Pem<X509Certificate> | null> {
    return this.#read(key, 'certificates in PEM', (text) => new X509Certificate(text))
  }

  revocations(key: FileKey): Promise<Pem<SecureContext> | null> {
    return this.#read(key, 'certificate revocation lists in PEM', (crl) => createSecureContext({ crl }))
  }

  key(key: FileKey): Promise<Pem<KeyObject> | null> {
    return this.#read(key, 'a private key in PEM without a passphrase', createPrivateKey)
  }

  checkPair(key: FileKey, cert: Pem<X509Certificate> | null, privateKey: Pem<KeyObject> | null): void {
    if (cert === null || privateKey === null) return
    if (!cert.value.checkPrivateKey(privateKey.value)) {
      this.#add(key, 'the private key is not that of its first certificate; the certificate of the server comes first')
      return
    }
    try {
      createSecureContext({ cert: cert.text, key: privateKey.text, minVersion: minTlsVersion })
    } catch (error) {
      this.#add(key, (error as Error).message)
    }
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems)
  }

  async #read<Value>(key: FileKey, expected: string, parse: (text: string) => Value): Promise<Pem<Value> | null> {
    const path = this.#config[key]
    if (path === null || path === undefined) return null
    try {
      const text = await readFile(path, 'utf8')
      return { text, value: parse(text) }
    } catch (error) {
      this.#add(key, `${(error as Error).message}; it must be a file of ${expected}`)
      return null
    }
  }

  #add(key: FileKey, reason: string): void {
    const variable = settings.find((setting) => setting.key === key)!.variable
    this.#problems.push({ variable, message: `${variable} is ${JSON.stringify(this.#config[key])}: ${reason}` })
  }
}

/** The oldest version of TLS that a server or client takes part in. */
export const minTlsVersion = 'TLSv1.2'
