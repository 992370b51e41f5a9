// A server refuses what finds no room in runs; a producer that wants to publish the events again needs each of them.

import { IdReader } from '../event/id-reader.ts'
import type { Rejection } from '../pipeline/pipeline.ts'

/**
 * A rejection for each event, by index, with its id as it was sent.
 * @param message the one that holds all of them; undefined: ids that the server has not said stay ''.
 */
export function eachEvent(rejections: readonly Rejection[], message: Uint8Array | undefined): readonly Rejection[] {
  // One for the message: it reads on from the event before.
  const ids = message && new IdReader(message)
  return rejections
    .toSorted((one, other) => one.index - other.index)
    .flatMap(({ count = 1, ...same }) =>
      Array.from({ length: count }, (_, place) => {
        const index = same.index + place
        return { ...same, index, id: same.id || (ids?.idOf(index) ?? '') }
      }),
    )
}
