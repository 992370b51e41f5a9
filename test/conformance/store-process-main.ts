// The process behind store-process.ts: opens the store and answers its parent's calls. Exits with its parent.

import { toMillraceError } from '../../src/errors.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { StoreAnswer, StoreCall, StoreConfig } from './store-process.ts'

const store = await openStore(JSON.parse(process.argv[2] as string) as StoreConfig)
const send = (answer: StoreAnswer) => process.send?.(answer)

store.failed.then((reason) => send({ failed: reason.message }))
process.on('disconnect', () => process.exit())
process.on('message', async (call: StoreCall) => {
  try {
    send({ id: call.id, value: await run(call) })
  } catch (thrown) {
    const { code, message } = toMillraceError(thrown)
    send({ id: call.id, code, message })
  }
})
send('open')

function run(call: StoreCall): Promise<unknown> {
  const method = store[call.method] as (...given: readonly unknown[]) => Promise<unknown>
  return method.apply(store, call.arguments as unknown[])
}
