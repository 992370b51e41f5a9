// The memory in which the entries of a commit go to the log's thread.
//
// It moves there and back. When nobody looks at the entries afterwards, because every group is far behind, it serves the
// next commit: megabytes of fresh memory for each would cost more than all else that is done with them.

/** Not more than this is kept for the next commit. */
const maxKeptBytes = 16 * 1024 * 1024

/** Buffers that serve again are made in steps of this, so that the next commit fits too. Small ones cost nothing anyway. */
const stepBytes = 1024 * 1024
const smallBytes = 64 * 1024

export class PackBuffer {
  #kept: ArrayBuffer | null = null

  /** So many bytes that the entries may stay in. */
  fresh(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength >= smallBytes) this.#kept = null
    // Not from Node's pool: it is transferred.
    return Buffer.allocUnsafeSlow(byteLength)
  }

  /** So many bytes, to be given back after the commit. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength < smallBytes) return Buffer.allocUnsafeSlow(byteLength)
    const kept = this.#kept
    this.#kept = null
    if (kept !== null && kept.byteLength >= byteLength) return new Uint8Array(kept, 0, byteLength)
    const roomyBytes = Math.ceil(byteLength / stepBytes) * stepBytes
    return Buffer.allocUnsafeSlow(roomyBytes).subarray(0, byteLength) as Uint8Array<ArrayBuffer>
  }

  /** Nobody looks at these bytes any more. */
  giveBack(buffer: ArrayBuffer): void {
    const { byteLength } = buffer
    if (byteLength >= smallBytes && byteLength <= maxKeptBytes) this.#kept = buffer
  }
}
