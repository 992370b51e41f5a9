// Rows that belong to a cursor, brought together.

export interface CursorKey {
  readonly groupNumber: number
  readonly stream: number
}

/** A text that names a cursor. */
export function cursorKey({ groupNumber, stream }: CursorKey): string {
  return `${groupNumber}/${stream}`
}

/** Rows by their cursor, each list in the order of the rows. */
export function groupByCursor<Row extends CursorKey>(rows: readonly Row[]): Map<string, Row[]> {
  const byCursor = new Map<string, Row[]>()
  for (const row of rows) {
    const key = cursorKey(row)
    const list = byCursor.get(key)
    if (list === undefined) byCursor.set(key, [row])
    else list.push(row)
  }
  return byCursor
}
