import { Empty } from '../components/empty.tsx'

export default function KeysPage() {
  return (
    <>
      <h1>Keys</h1>
      <Empty command="npx millrace keys list">The keys of callers. Until this page is built, from a terminal:</Empty>
    </>
  )
}
