// With what a client speaks TLS: the authorities that it trusts, and its own certificate.

import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { type ConnectionOptions, createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { minTlsVersion } from '../config/tls-files.ts'
import { MillraceError } from '../errors.ts'

/** PEM texts. */
export interface ClientTls {
  /** Certificates of the authorities of servers. Default: those that this machine trusts. */
  readonly ca?: string | Uint8Array
  /** The certificate of this client, for servers that require one, with `key`. */
  readonly cert?: string | Uint8Array
  /** Its private key, without a passphrase. */
  readonly key?: string | Uint8Array
}

/**
 * Null stays null.
 *
 * @throws MillraceError `invalid_event`, naming `tls`: what it holds is not PEM, or the key is not that of the certificate.
 */
export function secureContextOf(tls: ClientTls | null): SecureContext | null {
  if (tls === null) return null
  const { ca, cert, key } = tls
  if ((cert === undefined) !== (key === undefined)) {
    throw new MillraceError('invalid_event', 'tls.cert and tls.key must be given together', { field: 'tls' })
  }
  try {
    // Node takes authorities that are not PEM for none.
    if (ca !== undefined) new X509Certificate(textOf(ca))
    return createSecureContext({
      minVersion: minTlsVersion,
      ca: ca === undefined ? getCACertificates('system') : textOf(ca),
      ...(cert === undefined || key === undefined ? {} : { cert: textOf(cert), key: textOf(key) }),
    })
  } catch (error) {
    const message = `tls is not valid: ${(error as Error).message}; ca, cert and key must be texts in PEM`
    throw new MillraceError('invalid_event', message, { field: 'tls', cause: error })
  }
}

/** For a connection to a gRPC server at `host:port`. SNI is for names only. */
export function tlsOptionsFor(address: string, secureContext: SecureContext): ConnectionOptions {
  const { host } = partsOf(address)
  return { host, secureContext, ALPNProtocols: ['h2'], ...(isIP(host) === 0 ? { servername: host } : {}) }
}

/** Splits `name:port`, `1.2.3.4:port` or `[::1]:port`. */
export function partsOf(address: string): { readonly host: string; readonly port: number } {
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
  return { host, port: Number(port) }
}

function textOf(pem: string | Uint8Array): string {
  return typeof pem === 'string' ? pem : Buffer.from(pem).toString()
}
