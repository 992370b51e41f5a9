// CRC-32C (Castagnoli, RFC 3720 appendix B.4). Node's zlib.crc32 uses another polynomial.
//
// Slicing-by-8: eight tables, eight bytes per step. Long input is processed in two blocks in parallel: each step
// depends on the previous one, so two independent chains take hardly longer than one. 1,600 MB/s, against 640 MB/s byte
// by byte into eight tables (2-core Xeon at 2.5 GHz, Node 24).

const reversedPolynomial = 0x82f63b78

const tables = Array.from({ length: 8 }, () => new Int32Array(256))
const [table0, table1, table2, table3, table4, table5, table6, table7] = tables as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ reversedPolynomial : crc >>> 1
  table0[byte] = crc
}
for (let byte = 0; byte < 256; byte++) {
  for (let table = 1; table < 8; table++) {
    const previous = (tables[table - 1] as Int32Array)[byte] as number
    ;(tables[table] as Int32Array)[byte] = (previous >>> 8) ^ (table0[previous & 255] as number)
  }
}

/** Size of the two blocks that are processed in parallel. */
const blockBytes = 512

/** The CRC after a further block of zeros, for each of its four bytes: used to combine the CRCs of two blocks. */
const [shift0, shift1, shift2, shift3] = Array.from({ length: 4 }, (_, byte) =>
  Int32Array.from({ length: 256 }, (_, value) => {
    let crc = value << (8 * byte)
    for (let zero = 0; zero < blockBytes; zero++) crc = table0[crc & 255]! ^ (crc >>> 8)
    return crc
  }),
) as [Int32Array, Int32Array, Int32Array, Int32Array]

/** The CRC-32C of the bytes from `start` to `end`, as an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = -1
  let at = start
  if (end - at >= 2 * blockBytes) {
    // Reads four bytes at once, but creating it takes as long as processing a hundred bytes.
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    while (end - at >= 2 * blockBytes) {
      let second = 0
      for (const stop = at + blockBytes; at < stop; at += 8) {
        crc = step(crc, view.getInt32(at, true), view.getInt32(at + 4, true))
        const ahead = at + blockBytes
        second = step(second, view.getInt32(ahead, true), view.getInt32(ahead + 4, true))
      }
      crc = shift0[crc & 255]! ^ shift1[(crc >>> 8) & 255]! ^ shift2[(crc >>> 16) & 255]! ^ shift3[crc >>> 24]! ^ second
      at += blockBytes
    }
  }
  for (const lastWhole = end - 7; at < lastWhole; at += 8) {
    const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    const high = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)
    crc = step(crc, low, high)
  }
  for (; at < end; at++) crc = table0[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** Adds eight bytes, given as two little-endian words. */
function step(crc: number, low: number, high: number): number {
  const mixed = crc ^ low
  return (
    table7[mixed & 255]! ^
    table6[(mixed >>> 8) & 255]! ^
    table5[(mixed >>> 16) & 255]! ^
    table4[mixed >>> 24]! ^
    table3[high & 255]! ^
    table2[(high >>> 8) & 255]! ^
    table1[(high >>> 16) & 255]! ^
    table0[high >>> 24]!
  )
}
