// A gap of the live feed as JSON.

import type { LiveFrame } from '../../pipeline/live.ts'

export function gapJson({ dropped, from, to, reason }: Extract<LiveFrame, { readonly is: 'gap' }>): object {
  return { dropped, from, to, reason }
}
