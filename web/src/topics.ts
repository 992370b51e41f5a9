import { useObserved } from './observed.tsx'

/** The topics that a producer may publish to, as the last status has them. */
export function useTopics(): readonly string[] {
  const { answers } = useObserved()
  const topics = answers.at(-1)?.status.topics.map(({ name }) => name) ?? ['events']
  return topics.filter((name) => !name.startsWith('_'))
}
