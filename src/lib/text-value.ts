// Strict parsers for values that people type, for example settings.

/** A value, or the reason why the text is rejected; null if the text is simply not an allowed value. */
export type Parsed<Value> = { readonly value: Value } | { readonly refused: string | null }

export const notAllowed = { refused: null } as const

/** Digits only: no sign, no separators, no leading zeros. */
export function parseWholeNumber(text: string, min: number, max: number): Parsed<number> {
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? { value } : notAllowed
}

export function parseOneOf<Word extends string>(text: string, words: readonly Word[]): Parsed<Word> {
  const value = words.find((word) => word === text)
  return value === undefined ? notAllowed : { value }
}

/** Parts between commas, surrounding spaces ignored; the first invalid part rejects the list. */
export function parseCommaList<Value>(
  text: string,
  parsePart: (part: string) => Parsed<Value>,
): Parsed<readonly Value[]> {
  const values: Value[] = []
  for (const part of text.split(',').map((each) => each.trim())) {
    const parsed = parsePart(part)
    if ('refused' in parsed) return { refused: parsed.refused ?? `${JSON.stringify(part)} is not one` }
    values.push(parsed.value)
  }
  return { value: values }
}

/** `name:port`, `1.2.3.4:port` or `[::1]:port`, with a port from 1 to 65535. */
export function parseHostAndPort(text: string): Parsed<string> {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d+)$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  if (host === undefined || !isHost(host)) return notAllowed
  return 'value' in parseWholeNumber(match?.[3] ?? '', 1, 65_535) ? { value: text } : notAllowed
}

/** Whether the text has the form of a host: an IPv4 or IPv6 address, or a name. There is no DNS lookup. */
export function isHost(text: string): boolean {
  if (/^[\d.]+$/.test(text)) return /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(text)
  if (text.includes(':')) return /^[0-9a-fA-F:.]+$/.test(text) && text.indexOf(':') !== text.lastIndexOf(':')
  return text.length <= 253 && /^(?!-)[\w-]+(?:\.[\w-]+)*$/.test(text)
}
