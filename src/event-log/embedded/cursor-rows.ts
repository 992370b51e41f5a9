// Groups rows by the cursor to which they belong.

export interface CursorKey {
  readonly groupNumber: number
  readonly stream: number
}

/** A string that identifies a cursor, for use as a map key. */
export function cursorKey({ groupNumber, stream }: CursorKey): string {
  return `${groupNumber}/${stream}`
}

/** The rows of each cursor, in their original order. */
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
