// Why a group is paused, in words: what the status says, and how those who read it tell a person from an outage.

const byPerson = 'paused by a person'

/**
 * @param reason what the person gave who paused the group, perhaps nothing; null when nobody has.
 * @param outage why its consumer holds still by itself, or null. Both may be so at once.
 */
export function pausedText(reason: string | null, outage: string | null): string | null {
  if (reason === null) return outage
  const text = reason === '' ? byPerson : `${byPerson}: ${reason}`
  return outage === null ? text : `${text}; ${outage}`
}

/** Whether somebody must let the group go on; what else the text says is of no account, for a person may give any reason. */
export function isPausedByPerson(paused: string): boolean {
  return paused.startsWith(byPerson)
}
