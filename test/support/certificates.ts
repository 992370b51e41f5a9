// Certificates for the tests of TLS, made by openssl.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface CertificateOptions {
  /** As openssl writes them. Default: the names of loopback. */
  readonly names?: string
  /** How many days it is valid; below 0, it has expired. Default 1. */
  readonly days?: number
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority that issues certificates into a directory. */
export class Authority {
  /** The path of its own certificate. */
  readonly cert: string
  readonly #key: string
  readonly #directory: string

  constructor(directory: string, name = 'authority') {
    this.#directory = directory
    this.cert = join(directory, `${name}.pem`)
    this.#key = join(directory, `${name}.key`)
    openssl('req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-days', '1', '-keyout', this.#key, '-out', this.cert)
  }

  get pem(): string {
    return readFileSync(this.cert, 'utf8')
  }

  /** Makes `<name>.pem` and `<name>.key`, or replaces them. */
  issue(name: string, { names = 'DNS:localhost,IP:127.0.0.1', days = 1 }: CertificateOptions = {}): Certificate {
    const path = (ending: string) => join(this.#directory, `${name}.${ending}`)
    const [cert, key, request] = [path('pem'), path('key'), path('csr')]
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`]
    openssl('req', '-new', ...newKey, ...subject, '-keyout', key, '-out', request)
    const signer = ['-CA', this.cert, '-CAkey', this.#key, '-copy_extensions', 'copy']
    openssl('x509', '-req', '-in', request, ...signer, '-days', String(days), '-out', cert)
    return { cert, key }
  }

  /** Returns the path of a list of the certificates that are revoked, these and those of before. */
  revoke(...certificates: readonly Certificate[]): string {
    const path = (name: string) => join(this.#directory, name)
    const [settings, database, list] = [path('crl.cnf'), path('index.txt'), path('crl.pem')]
    if (!existsSync(database)) writeFileSync(database, '')
    writeFileSync(
      settings,
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${database}\ndefault_md=sha256\ndefault_crl_days=1\n`,
    )
    const words = ['ca', '-config', settings, '-keyfile', this.#key, '-cert', this.cert]
    for (const { cert } of certificates) openssl(...words, '-revoke', cert)
    openssl(...words, '-gencrl', '-out', list)
    return list
  }
}

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { stdio: 'pipe' })
}
