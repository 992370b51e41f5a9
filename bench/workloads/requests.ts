// W5: requests that a handler in the server's process sends back: through the log, to a worker, and back to the caller.

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runBlock } from '../block.ts'
import { measureRequests, type RequestOptions, requestType } from '../measure-requests.ts'
import { onLog } from '../on-log.ts'
import { cpuSecondsOf } from '../process-usage.ts'
import { type Service, startService } from '../service.ts'
import { withTempDirectory } from '../temp-directory.ts'

export interface EchoOptions extends RequestOptions {
  readonly log: 'embedded' | 'redis'
}

const handler = fileURLToPath(new URL('./echo-handler.ts', import.meta.url))

await runBlock((options: EchoOptions) =>
  withTempDirectory((directory) =>
    onLog(directory, options.log, (env, brokerCpuSeconds) => measure(directory, options, env, brokerCpuSeconds)),
  ),
)

async function measure(
  directory: string,
  options: EchoOptions,
  env: Readonly<Record<string, string>>,
  brokerCpuSeconds: () => number,
) {
  const service = await startService(directory, {
    ...env,
    MILLRACE_HANDLERS: handler,
    MILLRACE_WORKER_CONCURRENCY: String(options.inFlight),
  })
  const used = () => cpuSecondsOf(service.pid) + brokerCpuSeconds()
  const { requestsInAll, problems, details, ...measured } = await measureRequests(service, options, used)
  problems.push(...(await ledgerProblems(service, requestsInAll)))
  const logCommits = await service.counter('millrace_log_commits_total')
  const commitSeconds = await service.counter('millrace_log_commit_duration_seconds_sum')
  await service.stop()
  return {
    ...measured,
    problems,
    details: { ...details, logCommits, commitMeanMs: (1000 * commitSeconds) / logCommits },
  }
}

/** The problems of the ledger of the requests' topic; empty when every request is settled with its reply. */
async function ledgerProblems(service: Service, requests: number): Promise<string[]> {
  for (let look = 0; look < 100; look++) {
    const line = (await service.status()).ledger.find(({ topic }) => topic === `_request.${requestType}`)
    if (line?.accepted === requests && line.landed === requests && line.balanced !== false) return []
    await sleep(100)
  }
  return ['not every request is settled 10 s after the last one was answered']
}
