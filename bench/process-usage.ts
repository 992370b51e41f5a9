// What a process has used so far, as Linux counts it.

import { readFileSync } from 'node:fs'

/** The unit of the times in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** User and system time of a process, all its threads, in seconds. */
export function cpuSecondsOf(pid: number): number {
  const [user, system] = statFields(pid, 14, 15)
  return (user! + system!) / ticksPerSecond
}

/** The same for all the children of a process, and theirs, that have ended and been waited for. */
export function cpuSecondsOfEndedChildren(pid: number = process.pid): number {
  const [user, system] = statFields(pid, 16, 17)
  return (user! + system!) / ticksPerSecond
}

/** Memory that a process has in use, in bytes. */
export function rssBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
}

/** Seconds that all cores together have been busy and stolen since boot. */
export function machineSeconds(): { readonly busy: number; readonly stolen: number; readonly total: number } {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!
  const [user, nice, system, idle, ioWait, interrupts, softInterrupts, stolen] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) / ticksPerSecond) as [number, number, number, number, number, number, number, number]
  const busy = user + nice + system + interrupts + softInterrupts
  return { busy, stolen, total: busy + stolen + idle + ioWait }
}

/** Fields of /proc/<pid>/stat by their numbers in proc(5). The name, field 2, may have spaces and ends with `)`. */
function statFields(pid: number, ...numbers: number[]): number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return numbers.map((number) => Number(fields[number - 3]))
}
