import { Empty } from '../components/empty.tsx'

export default function TryItPage() {
  return (
    <>
      <h1>Try it</h1>
      <Empty command="npx millrace request text.analyze 'to be or not to be'">
        Send a heartbeat, a text or a file from here. Until this page is built, from a terminal:
      </Empty>
    </>
  )
}
