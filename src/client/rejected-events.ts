// A server refuses what finds no room in runs; a producer that wants to publish the events again needs each of them.

import { IdReader } from '../event/id-reader.ts'
import type { Rejection } from '../pipeline/pipeline.ts'

/** A rejection for each event of the run, with its id as it was sent. @param message undefined: the ids are unknown, ''. */
export function eachEvent(rejection: Rejection, message: Uint8Array | undefined): readonly Rejection[] {
  const { count = 1, ...same } = rejection
  if (count === 1) return [rejection]
  const ids = message && new IdReader(message)
  return Array.from({ length: count }, (_, place) => {
    const index = same.index + place
    return { ...same, index, id: ids?.idOf(index) ?? '' }
  })
}
