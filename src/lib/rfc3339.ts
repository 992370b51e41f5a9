// Converts RFC 3339 times to microseconds since 1970 and back.
//
// Not with Date.parse, which accepts more than RFC 3339 and has only milliseconds.

import { joinMicros, type Micros, microsAfter, secondsOf } from './timestamp.ts'

const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?([Zz]|[+-]\d\d:\d\d)$/

const earliestSeconds = -62_135_596_800
const latestSeconds = 253_402_300_799

/** Whether a time in seconds since 1970 is from 0001-01-01 to 9999-12-31, the range of google.protobuf.Timestamp. */
export function isKnownSecond(seconds: number): boolean {
  return seconds >= earliestSeconds && seconds <= latestSeconds
}

/**
 * The time in microseconds since 1970 (digits after the sixth are cut off), or a text that says what is wrong and
 * continues "time ...".
 */
export function parseRfc3339(text: string): Micros | string {
  const match = pattern.exec(text)
  if (match === null) return 'is not an RFC 3339 time such as 2026-11-21T09:30:00.123456Z'
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  if (month < 1 || month > 12) return `has month ${month}`
  if (day < 1 || day > daysOf(year, month)) return `has day ${day}, which that month does not have`
  if (hour > 23) return `has hour ${hour}`
  if (minute > 59) return `has minute ${minute}`
  if (second === 60) return 'has second 60: leap seconds cannot be stored'
  if (second > 60) return `has second ${second}`
  const offsetSeconds = offsetOf(match[8] as string)
  if (offsetSeconds === null) return `has offset ${match[8]}, which is out of range`
  const seconds = secondsOfDay(year, month, day) + hour * 3600 + minute * 60 + second - offsetSeconds
  if (!isKnownSecond(seconds)) return 'is not in the years 1 to 9999'
  return joinMicros(seconds, Number((match[7] ?? '').slice(0, 6).padEnd(6, '0')))
}

/** Formats a time as `2026-11-21T09:30:00.123456Z`. */
export function formatRfc3339(micros: Micros): string {
  const seconds = secondsOf(micros)
  const fraction = String(microsAfter(seconds, micros)).padStart(6, '0')
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`
}

function secondsOfDay(year: number, month: number, day: number): number {
  // Not Date.UTC, which reads the years 0 to 99 as 1900 to 1999.
  return new Date(0).setUTCFullYear(year, month - 1, day) / 1000
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function offsetOf(text: string): number | null {
  if (text.length === 1) return 0
  const hours = Number(text.slice(1, 3))
  const minutes = Number(text.slice(4, 6))
  if (hours > 23 || minutes > 59) return null
  return (text[0] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60)
}
