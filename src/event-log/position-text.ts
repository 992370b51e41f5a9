// The text form of a position, for output and input: `<topic>/<partition>/<lane>@<epoch>:<offset>`.

import { lanes } from '../event/event.ts'
import type { Position } from './event-log.ts'

export function formatPosition({ stream, epoch, offset }: Position): string {
  return `${stream.topic}/${stream.partition}/${stream.lane}@${epoch}:${offset}`
}

const pattern = /^([^/]+)\/(\d{1,9})\/([a-z]+)@(\d{1,15}):(\d{1,15})$/

/** Null when the text is not a position. */
export function parsePosition(text: string): Position | null {
  const [, topic, partition, laneName, epoch, offset] = pattern.exec(text) ?? []
  const lane = lanes.find((name) => name === laneName)
  if (topic === undefined || lane === undefined) return null
  return { stream: { topic, partition: Number(partition), lane }, epoch: Number(epoch), offset: Number(offset) }
}
