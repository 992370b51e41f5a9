// Small random mutations of bytes, as in a fuzzer.

import type { SeededRandom } from './random.ts'

/** A copy of the bytes with one to four random mutations. */
export function mutate(bytes: Buffer, random: SeededRandom): Buffer {
  let mutant = Buffer.from(bytes)
  for (let damages = random.between(1, 4); damages > 0; damages--) {
    const at = random.between(0, Math.max(0, mutant.length - 1))
    const length = random.between(1, 16)
    switch (random.between(0, 5)) {
      case 0:
        mutant[at] = (mutant[at] ?? 0) ^ (1 << random.between(0, 7))
        break
      case 1:
        mutant[at] = random.pick([0, 1, 0x7f, 0x80, 0xff])
        break
      case 2:
        mutant = Buffer.concat([mutant.subarray(0, at), random.bytes(length), mutant.subarray(at)])
        break
      case 3:
        mutant = Buffer.concat([mutant.subarray(0, at), mutant.subarray(at + length)])
        break
      case 4:
        mutant = Buffer.concat([mutant.subarray(0, at), mutant.subarray(at, at + length), mutant.subarray(at)])
        break
      default:
        mutant = mutant.subarray(0, at)
    }
  }
  return mutant
}
