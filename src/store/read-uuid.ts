// Reads the 36-character form of a UUID from bytes, without creating a string.

/** The form of the text: a UUID as `uuidFromBytes` writes it, a UUID with upper-case digits, or not a UUID. */
export type UuidForm = 'lower case' | 'other case' | 'none'

const notHex = 0xff
const upperCase = 0x10

/** The value of a hex digit, with `upperCase` set for A to F; `notHex` for every other byte. */
const digitOfByte = new Uint8Array(256).fill(notHex)
for (let digit = 0; digit < 16; digit++) {
  digitOfByte[digit.toString(16).charCodeAt(0)] = digit
  if (digit > 9) digitOfByte[digit.toString(16).toUpperCase().charCodeAt(0)] = digit | upperCase
}

const dash = 0x2d
/** Offsets of the 16 pairs of digits in the text. */
const pairOffsets = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const

/** Writes the UUID in `start` to `end` to the 16 bytes of `target`; their content is undefined if it returns `none`. */
export function readUuid(bytes: Uint8Array, start: number, end: number, target: Uint8Array): UuidForm {
  if (end - start !== 36) return 'none'
  if (bytes[start + 8] !== dash || bytes[start + 13] !== dash) return 'none'
  if (bytes[start + 18] !== dash || bytes[start + 23] !== dash) return 'none'
  let flags = 0
  for (let index = 0; index < 16; index++) {
    const at = start + pairOffsets[index]!
    const high = digitOfByte[bytes[at]!]!
    const low = digitOfByte[bytes[at + 1]!]!
    flags |= high | low
    target[index] = (high << 4) | (low & 0x0f)
  }
  if (flags < upperCase) return 'lower case'
  return flags < 2 * upperCase ? 'other case' : 'none'
}
