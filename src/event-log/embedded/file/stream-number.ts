// The number of a stream follows from its owner and its place, so that it is found without an index.
//
// The owner is the topic, or the group whose own stream it is. Topics and groups share one sequence of numbers.

import { type Lane, lanes } from '../../../event/event.ts'

export const maxPartitions = 1024

export const streamsPerOwner = maxPartitions * lanes.length

export function streamNumber(owner: number, partition: number, lane: Lane): number {
  return owner * streamsPerOwner + partition * lanes.length + lanes.indexOf(lane)
}

/** The topic or group of a stream. */
export function ownerOf(stream: number): number {
  return Math.floor(stream / streamsPerOwner)
}

/** The partition of a stream. */
export function partitionOf(stream: number): number {
  return Math.floor((stream % streamsPerOwner) / lanes.length)
}
