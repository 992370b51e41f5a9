import { Empty } from '../components/empty.tsx'

export default function WorkPage() {
  return (
    <>
      <h1>Work</h1>
      <Empty command="npx millrace groups list">
        Groups, workers, agents and subscribers. Until this page is built, from a terminal:
      </Empty>
    </>
  )
}
