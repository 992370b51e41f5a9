import { Empty } from '../components/empty.tsx'

export default function DeadLettersPage() {
  return (
    <>
      <h1>Dead letters</h1>
      <Empty command="npx millrace dead-letters list">
        Events that a group has given up. Until this page is built, from a terminal:
      </Empty>
    </>
  )
}
