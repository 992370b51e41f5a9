// Which value of an event picks its partition. Events with the same value are in the same partition; those without one
// rotate through the partitions.

export type PartitionBy = 'key' | 'source' | 'subject' | `attributes.${string}`

const attributePrefix = 'attributes.'

/** The name of the attribute that picks the partition; null when another field does. */
export function attributeOf(by: PartitionBy): string | null {
  return by.startsWith(attributePrefix) ? by.slice(attributePrefix.length) : null
}
