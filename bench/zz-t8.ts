import { readFileSync } from 'node:fs'
import { connect } from '../src/client/connect.ts'

const [, , address, pid, mib] = process.argv
const client = connect({ addresses: [address!] })
const chunk = Buffer.alloc(65536, 'word and more ')
async function* source() {
  for (let i = 0; i < Number(mib) * 16; i++) yield chunk
}
const cpu = () => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(f[11]) + Number(f[12])) / 100
}
const mem = (n: string) =>
  Number(new RegExp(`${n}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
const before = cpu(),
  rss = mem('VmRSS'),
  at = performance.now()
let peak = 0
const t = setInterval(() => {
  peak = Math.max(peak, mem('VmRSS'))
}, 50)
const r = await client.upload(source(), { deadlineMs: 600000, size: Number(mib) * 1048576 }).catch((e) => e.message)
clearInterval(t)
console.log(
  JSON.stringify({
    address,
    s: ((performance.now() - at) / 1000).toFixed(2),
    cpu: (cpu() - before).toFixed(2),
    rss: rss.toFixed(0),
    peak: peak.toFixed(0),
  }),
  typeof r === 'string' ? r.slice(0, 60) : 'ok',
)
client.close()
