// Schemas for values that people type: strict, so that typos are detected.

import { isIP, isIPv6 } from 'node:net'
import * as v from 'valibot'

/** Turns a text into a Value. */
export type TextSchema<Value> = v.GenericSchema<string, Value>

/** Digits only: no sign, no separators, no leading zeros. */
export function wholeNumber(min: number, max: number) {
  return v.pipe(v.string(), v.regex(/^(0|[1-9]\d{0,15})$/), v.transform(Number), v.minValue(min), v.maxValue(max))
}

/** Comma-separated parts; spaces around a part are ignored. */
export function commaList<Value>(part: TextSchema<Value>) {
  return v.pipe(
    v.string(),
    v.transform((text) => text.split(',').map((each) => each.trim())),
    v.array(part),
  )
}

/** An IPv4 or IPv6 address, or a host name. Does not resolve names. */
export const host: TextSchema<string> = v.pipe(v.string(), v.check(isHost))

/** `name:port`, `1.2.3.4:port` or `[::1]:port`, with a port from 1 to 65535. */
export const hostAndPort: TextSchema<string> = v.pipe(
  v.string(),
  v.check((text) => {
    const [, ipv6, name = '', port = ''] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(text) ?? []
    return (ipv6 === undefined ? isHost(name) : isIPv6(ipv6)) && v.is(wholeNumber(1, 65_535), port)
  }),
)

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)(?![\d.]+$)(?!-)[\w-]+(?:\.[\w-]+)*$/.test(text)
}

/** An origin as browsers send it (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin). */
export const origin = v.pipe(
  v.string(),
  v.regex(/^https?:/),
  v.check((text) => URL.canParse(text) && new URL(text).origin === text, 'an origin has a scheme, a host and no path'),
)
