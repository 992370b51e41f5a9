// TLS for a channel of grpc-js, which itself would send an IP address as the name of the server (SNI is for names).

import { connect, type SecureContext } from 'node:tls'
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js'
import { tlsOptionsFor } from './secure-context.ts'

export class TlsCredentials extends ChannelCredentials {
  readonly #address: string
  readonly #secureContext: SecureContext

  /** @param address `host:port`, whose host must be in the certificate of the server. */
  constructor(address: string, secureContext: SecureContext) {
    super()
    this.#address = address
    this.#secureContext = secureContext
  }

  override _isSecure(): boolean {
    return true
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this
  }

  override _createSecureConnector(
    _target: unknown,
    _options: unknown,
    callCredentials = CallCredentials.createEmpty(),
  ): experimental.SecureConnector {
    return {
      connect: (connection) =>
        new Promise((resolve, reject) => {
          const options = { ...tlsOptionsFor(this.#address, this.#secureContext), socket: connection }
          const socket = connect(options, () => resolve({ socket, secure: true }))
          // Stays: an error after the handshake is the matter of the HTTP/2 session.
          socket.on('error', reject)
        }),
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    }
  }
}
