// The text of a group's `paused` status, and how to tell a pause by a person from an outage.

const byPerson = 'paused by a person'

const refuses = 'the database refuses dead letter'

/** Names a dead letter that its group retries while it lands the others, and how many more there are. */
export function refusedLetterText(deadLetterId: string, more: number): string {
  return `${refuses} ${deadLetterId}${more === 0 ? '' : ` and ${more} more`}`
}

/** Whether the group works, and only some dead letters wait. */
export function isAboutDeadLetters(paused: string): boolean {
  return paused.startsWith(refuses)
}

/**
 * @param reason the reason given for a pause by a person, perhaps ''; null when no person has paused the group.
 * @param outage why the group's consumer has paused itself or retries some deliveries, or null. Both can be set at once.
 */
export function pausedText(reason: string | null, outage: string | null): string | null {
  if (reason === null) return outage
  const text = reason === '' ? byPerson : `${byPerson}: ${reason}`
  return outage === null ? text : `${text}; ${outage}`
}

/** Whether a person must resume the group. Only the prefix decides: a given reason may be any text. */
export function isPausedByPerson(paused: string): boolean {
  return paused.startsWith(byPerson)
}
