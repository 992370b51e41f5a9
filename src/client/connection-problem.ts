// Why TLS keeps a client from a server: asked once connections have failed, because grpc-js does not say it.

import { connect, createSecureContext, type SecureContext } from 'node:tls'
import { partsOf, tlsOptionsFor } from './secure-context.ts'

/** Longest wait for the answer of a server that is silent. */
const maxWaitMs = 1000

interface Attempt {
  /** Whether the handshake was complete on this side. */
  readonly isSecure: boolean
  readonly error: NodeJS.ErrnoException | null
  /** Whether the server has sent something after the handshake. */
  readonly isAnswered: boolean
}

/** What Node adds to an error about the name of a server. */
interface NameMismatch {
  readonly host: string
  readonly cert: { readonly subjectaltname?: string }
}

/**
 * Connects once more to each address, and returns what is wrong with TLS at the first where something is: the end of a
 * sentence, with the fix. Null when TLS is not the reason.
 *
 * @param secureContext null for a client without TLS.
 */
export async function connectionProblem(
  addresses: readonly string[],
  secureContext: SecureContext | null,
): Promise<string | null> {
  // An address that cannot be connected to at all throws.
  const problems = await Promise.all(addresses.map((address) => problemAt(address, secureContext).catch(() => null)))
  return problems.find((problem) => problem !== null) ?? null
}

async function problemAt(address: string, secureContext: SecureContext | null): Promise<string | null> {
  const attempt = await tryTls(address, secureContext)
  return secureContext === null ? problemWithoutTls(attempt) : problemWithTls(attempt)
}

function problemWithoutTls({ isSecure, error }: Attempt): string | null {
  if (!isSecure && !isAlert(error)) return null
  return 'the server speaks TLS: set MILLRACE_TLS_CA (or --ca), or connect with `tls`'
}

function problemWithTls({ isSecure, isAnswered, error }: Attempt): string | null {
  const code = error?.code ?? ''
  const reason = error === null ? '' : ` (${error.code ?? error.message})`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const { host, cert } = error as NodeJS.ErrnoException & NameMismatch
    return `the certificate of the server is for ${cert.subjectaltname ?? 'no name'}, not for ${host}: connect by a name in it`
  }
  if (code === 'CERT_HAS_EXPIRED') return 'the certificate of the server has expired'
  if (code === 'CERT_NOT_YET_VALID') return 'the certificate of the server is not valid yet'
  if (unknownAuthority.test(code)) {
    return `the certificate of the server is not from an authority that this client trusts${reason}: set MILLRACE_TLS_CA (or --ca)`
  }
  if (isAlert(error) || (isSecure && !isAnswered)) {
    return `the server closed the connection after the handshake began${reason}: does it require a client certificate (MILLRACE_TLS_CLIENT_CERT), or has it refused this one?`
  }
  if (code.startsWith('ERR_SSL_')) {
    return 'the server does not speak TLS: unset MILLRACE_TLS_CA and MILLRACE_TLS_CLIENT_CERT, or connect without `tls`'
  }
  return null
}

const unknownAuthority = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_SIGNATURE_|CERT_UNTRUSTED|INVALID_CA)/

/** Only a peer that speaks TLS sends alerts. */
function isAlert(error: NodeJS.ErrnoException | null): boolean {
  return /_ALERT_/.test(error?.code ?? '')
}

function tryTls(address: string, secureContext: SecureContext | null): Promise<Attempt> {
  return new Promise((resolve) => {
    let isAnswered = false
    let error: NodeJS.ErrnoException | null = null
    let isSecure = false
    const socket = connect({
      ...tlsOptionsFor(address, secureContext ?? createSecureContext()),
      port: partsOf(address).port,
      rejectUnauthorized: secureContext !== null,
    })
    const timer = setTimeout(() => {
      // Too slow an answer is no refusal.
      isSecure = false
      socket.destroy()
    }, maxWaitMs)
    socket.once('secureConnect', () => {
      isSecure = true
      if (secureContext === null) socket.destroy()
    })
    // The server sends its settings first; in TLS 1.3, a refusal of the client's certificate comes as late.
    socket.once('data', () => {
      isAnswered = true
      socket.destroy()
    })
    socket.on('error', (thrown: NodeJS.ErrnoException) => {
      error = thrown
    })
    socket.once('close', () => {
      clearTimeout(timer)
      resolve({ isSecure, error, isAnswered })
    })
  })
}
