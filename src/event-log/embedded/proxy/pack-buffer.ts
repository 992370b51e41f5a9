// The buffer in which the entries of a commit are transferred to the log's thread and back.
//
// When the entries are not needed in memory afterwards, because every group is far behind, the next commit reuses the
// buffer: allocating megabytes for each commit would cost more than all other work on them.

/** A larger buffer is not kept for the next commit. */
const maxKeptBytes = 16 * 1024 * 1024

/** Reusable buffers are rounded up to this, so that the next commit fits too. Small ones are not worth reusing. */
const stepBytes = 1024 * 1024
const smallBytes = 64 * 1024

export class PackBuffer {
  #kept: ArrayBuffer | null = null

  /** A new buffer of this size, in which the entries may stay. */
  fresh(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength >= smallBytes) this.#kept = null
    // Not from Node's pool: it is transferred.
    return Buffer.allocUnsafeSlow(byteLength)
  }

  /** A buffer of this size, to be given back after the commit. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength < smallBytes) return Buffer.allocUnsafeSlow(byteLength)
    const kept = this.#kept
    this.#kept = null
    if (kept !== null && kept.byteLength >= byteLength) return new Uint8Array(kept, 0, byteLength)
    const roomyBytes = Math.ceil(byteLength / stepBytes) * stepBytes
    return Buffer.allocUnsafeSlow(roomyBytes).subarray(0, byteLength) as Uint8Array<ArrayBuffer>
  }

  /** Returns a buffer that is no longer used. */
  giveBack(buffer: ArrayBuffer): void {
    const { byteLength } = buffer
    if (byteLength >= smallBytes && byteLength <= maxKeptBytes) this.#kept = buffer
  }
}
