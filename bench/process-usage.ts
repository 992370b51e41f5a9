// CPU time and memory used by processes, from /proc.

import { readFileSync } from 'node:fs'

/** The unit of the times in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

/** User and system time of a process, including all its threads, in seconds. */
export function cpuSecondsOf(pid: number): number {
  const [user, system] = statFields(pid, 14, 15)
  return (user! + system!) / ticksPerSecond
}

/** User and system time of the process's descendants that have ended and been waited for, in seconds. */
export function cpuSecondsOfEndedChildren(pid: number = process.pid): number {
  const [user, system] = statFields(pid, 16, 17)
  return (user! + system!) / ticksPerSecond
}

/** Resident memory of a process, in bytes. */
export function rssBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
}

/** Busy, stolen and total seconds of all cores together since boot. */
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
