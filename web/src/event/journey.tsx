import type { CSSProperties } from 'react'
import type { JourneyStep } from '../api.ts'
import { Badge, type Tone } from '../components/badge.tsx'
import { Unknown } from '../components/unknown.tsx'
import { Time } from '../components/values.tsx'
import { formatSeconds } from '../format.ts'
import { type Bar, waterfallOf } from './waterfall.ts'

const names: Readonly<Record<JourneyStep['step'], string>> = {
  accepted: 'accepted',
  handed_out: 'handed out',
  begun: 'attempt begun',
  ended: 'attempt ended',
  failed: 'attempt failed',
  settled: 'settled',
  landed: 'landed',
  dead: 'given up',
  redriven: 'sent again',
  not_kept: 'not kept',
}

const tones: Readonly<Partial<Record<JourneyStep['step'], Tone>>> = { failed: 'bad', dead: 'bad', landed: 'good' }

/** What became of an event, step by step, with the time that each took. */
export function JourneySteps({ steps }: { readonly steps: readonly JourneyStep[] }) {
  return (
    <div className="scroll">
      <table className="journey">
        <thead>
          <tr>
            <th scope="col">Step</th>
            <th scope="col">Group</th>
            <th scope="col">At</th>
            <th scope="col" className="right">
              Took
            </th>
            <th scope="col" className="bars">
              Way
            </th>
          </tr>
        </thead>
        <tbody>
          {waterfallOf(steps).map((bar) => (
            <Step key={bar.key} bar={bar} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** What the two shades of the bars are. */
export function JourneyLegend() {
  return (
    <span className="legend-line">
      <span className="legend">
        <i className="swatch waiting" /> waiting
      </span>
      <span className="legend">
        <i className="swatch working" /> working
      </span>
    </span>
  )
}

function Step({ bar }: { readonly bar: Bar }) {
  const { step, tookMicros } = bar
  const tone = tones[step.step]
  const detail = [
    step.code === undefined ? '' : `${step.code}: `,
    step.message ?? '',
    step.position === undefined || step.step === 'failed' ? '' : step.position,
  ].join('')
  return (
    <tr>
      <td>
        {tone === undefined ? names[step.step] : <Badge tone={tone}>{names[step.step]}</Badge>}
        {step.attempt === undefined ? null : <span className="faint"> {step.attempt}</span>}
        {detail === '' ? null : <div className="detail">{detail}</div>}
      </td>
      <td>{step.group ?? ''}</td>
      <td>{step.step === 'not_kept' ? null : <Time of={step.at} />}</td>
      <td className="right number">{step.step === 'accepted' || step.step === 'not_kept' ? null : took(tookMicros)}</td>
      <td className="bars">{step.at === null ? null : <BarLine bar={bar} />}</td>
    </tr>
  )
}

function took(micros: number | null) {
  if (micros === null) return <Unknown why="the time was not recorded" />
  // Times of attempts are in milliseconds.
  return micros === 0 ? '< 1 ms' : formatSeconds(micros / 1e6)
}

function BarLine({ bar: { from, to, is, isCut } }: { readonly bar: Bar }) {
  const place = { '--from': from, '--to': to } as CSSProperties
  return (
    <div className="bar-line">
      <div
        className={`bar ${is}${isCut ? ' cut' : ''}`}
        style={place}
        title={isCut ? 'drawn shorter than it was' : is}
      />
    </div>
  )
}
