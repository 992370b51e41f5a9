// What the page does: sends, and follows what becomes of it, as far as the session may read.

import { ApiProblem, api, type StoredEvent, type StoredFile } from '../api.ts'
import { formatCount } from '../format.ts'
import { newId } from '../new-id.ts'
import { eventPath, filePath, requestPath } from '../paths.ts'
import type { End, Run } from './activity-log.ts'
import { upload } from './upload.ts'

export const analysisType = 'text.analyze'

const followForMs = 30_000
const firstAskMs = 40
const lastAskMs = 1000
const longestWaitSeconds = 25

/** The row of a heartbeat is looked for among so many of the newest ones. */
const maxNewestHeartbeats = 200

/** May the session read? Without that an action ends with the answer to it. */
interface Sight {
  readonly mayRead: boolean
}

const unseen: End = { state: 'done', problem: 'Your key has not the scope read: what came of it later is not shown.' }

export interface HeartbeatDraft {
  readonly agentId: string
  /** The heartbeat as JSON. */
  readonly text: string
}

export async function sendHeartbeat(run: Run, { agentId, text }: HeartbeatDraft, { mayRead }: Sight): Promise<End> {
  // A heartbeat has no id of the sender's: its event is known by the trace that it belongs to.
  const traceparent = `00-${newId().replaceAll('-', '')}-${newId().replaceAll('-', '').slice(-16)}-01`
  run.step('sent', { doing: 'waiting for the verdict' })
  run.set({ answer: await api.heartbeat(text, traceparent, run.signal) })
  run.step('accepted', { detail: 'as durable as any event; no worker is waited for', doing: 'waiting for its row' })
  if (!mayRead) return unseen
  const row = await until(run.signal, async () => {
    const { events } = await api.events({ topic: 'heartbeats', limit: maxNewestHeartbeats }, run.signal)
    return events.find(({ attributes }) => attributes.traceparent === traceparent) ?? null
  })
  if (row === null) return notYet('landed')
  run.set({ page: eventPath(row.event_id), event: { id: row.event_id } })
  run.step('landed', { detail: 'a row of events', doing: 'waiting for the table of agents' })
  const agent = await until(run.signal, async () => {
    const found = await api.agent(agentId, run.signal)
    return found.last_seen >= row.received_at ? found : null
  })
  if (agent === null) return notYet('reached the table of agents')
  run.step(agent.online ? 'online' : 'seen', { detail: `the agent ${agentId}, in the table of agents` })
  return { state: 'done' }
}

export async function analyzeText(run: Run, text: string): Promise<End> {
  const id = newId()
  run.step('sent', { doing: 'waiting for the log' })
  let answer = await api.request(analysisType, id, text, run.signal)
  run.set({ page: requestPath(id, analysisType) })
  run.step('accepted', { detail: 'stored in the log', doing: 'waiting for a worker' })
  const untilMs = performance.now() + followForMs
  while (answer.stage !== 'replied') {
    if (performance.now() > untilMs) return notYet('been answered')
    answer = await api.reply(id, analysisType, longestWaitSeconds, run.signal)
  }
  run.step('replied', { detail: `by a worker, attempt ${answer.attempts}` })
  run.set({ answer: answer.text })
  return { state: 'done' }
}

export async function uploadFile(run: Run, file: File, { mayRead }: Sight): Promise<End> {
  const fileId = newId()
  run.step('begun', { doing: 'sending' })
  const stored = await upload(file, {
    ...{ fileId, signal: run.signal, isAnalysisAwaited: !mayRead },
    onProgress: (progress) => run.set({ progress }),
    onSent: () => run.step('sent', { doing: 'waiting until it is on the disk' }),
  })
  run.set({ progress: null, page: filePath(fileId), answer: textOf(stored) })
  const detail = 'flushed to the disk, with its SHA-256'
  run.step('stored', { detail, doing: stored.analysis === null ? 'waiting for its analysis' : null })
  if (!mayRead) return unseen
  const analyzed = await until(run.signal, async () => {
    const description = await api.file(fileId, run.signal)
    return description.analysis === null ? null : description
  })
  if (analyzed === null) {
    return { state: 'waiting', problem: 'It is stored without an analysis so far: no worker has made one yet.' }
  }
  run.set({ answer: textOf({ ...stored, analysis: analyzed.analysis }) })
  run.step('analyzed', { detail: 'by a worker that read it as a stream' })
  return { state: 'done' }
}

export interface EventDraft {
  readonly topic: string
  /** The event as JSON, with its id. */
  readonly text: string
  readonly id: string
  readonly source: string
}

export async function publishEvent(run: Run, draft: EventDraft, { mayRead }: Sight): Promise<End> {
  const { topic, text, id, source } = draft
  run.step('sent', { doing: 'waiting for the verdict' })
  const verdict = await api.publish(topic, text)
  run.set({ answer: JSON.stringify(verdict) })
  if (verdict.accepted === 0)
    throw new Error(verdict.rejections[0]?.message ?? 'There was no room for it; send it again.')
  run.set({ page: eventPath(id, source), event: { id, source } })
  run.step('accepted', { detail: `durable: ${verdict.durability}`, doing: 'waiting until it lands' })
  if (!mayRead) return unseen
  const journey = await until(run.signal, async () => {
    const found = await api.journey(id, source, run.signal)
    return found.journey.state === 'waiting' ? null : found.journey
  })
  if (journey === null) return notYet('landed')
  const death = journey.steps.findLast(({ step }) => step === 'dead')
  if (journey.state === 'dead') {
    run.step('given up', { detail: `${death?.code ?? ''}: ${death?.message ?? ''}` })
    return { state: 'dead', problem: 'A group has given it up; it is a dead letter now, and nothing is lost.' }
  }
  run.step('landed', { detail: 'a row of events' })
  return { state: 'done' }
}

function notYet(what: string): End {
  return {
    state: 'waiting',
    problem: `It is accepted, and has not ${what} within ${formatCount(followForMs / 1000)} s.`,
  }
}

/** Asks until there is an answer, at first often and then once a second. Null: there was none in time. */
async function until<T>(signal: AbortSignal, ask: () => Promise<T | null>): Promise<T | null> {
  const untilMs = performance.now() + followForMs
  for (let pauseMs = firstAskMs; performance.now() < untilMs; pauseMs = Math.min(lastAskMs, pauseMs * 1.5)) {
    const answer = await ask().catch(unlessItMayCome)
    if (answer !== null) return answer
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
    signal.throwIfAborted()
  }
  return null
}

/** What is not there yet, or cannot be asked for now, may come; a refusal stays one. */
function unlessItMayCome(problem: unknown): null {
  const { status } = problem as Partial<ApiProblem>
  if (problem instanceof ApiProblem && (status === 404 || status === 0 || problem.status >= 500)) return null
  throw problem
}

function textOf({ file_id, size, sha256, analysis }: StoredFile): string {
  return JSON.stringify({ file_id, size, sha256, analysis })
}

/** An event that the page can follow: with an id, which is put into its text when it has none. */
export function draftOf(topic: string, text: string, event: Partial<StoredEvent>): EventDraft {
  const { id, source = '/' } = event
  if (id !== undefined) return { topic, text, id, source }
  const given = newId()
  return { topic, text: text.replace('{', `{"id":"${given}",`), id: given, source }
}
