// Suggests the intended name for an unknown one.

/** The candidate with the smallest edit distance, or null if it is more than a third of the word's length. */
export function closestWord(word: string, candidates: Iterable<string>): string | null {
  let closest: string | null = null
  let fewest = Math.floor(word.length / 3) + 1
  for (const candidate of candidates) {
    const changes = editDistance(word, candidate, fewest)
    if (changes < fewest) {
      fewest = changes
      closest = candidate
    }
  }
  return closest
}

/** The Levenshtein distance; `limit` if it is that or more. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) >= limit) return limit
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = previous[column - 1]! + (from[row - 1] === to[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1))
    }
    previous = current
  }
  return Math.min(limit, previous[to.length]!)
}
