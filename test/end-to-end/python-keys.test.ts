// The examples in Python with a server that asks for a key and speaks TLS.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../src/client/connect.ts'
import { Authority } from '../support/certificates.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { startInProcess } from '../support/in-process-server.ts'
import { projectRoot } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const packages = 'python3-grpcio python3-protobuf protobuf-compiler libprotobuf-dev'
const python = ['/usr/bin/python3', 'python3'].find(
  (program) => spawnSync(program, ['-c', 'import grpc, google.protobuf']).status === 0,
)
const isHere = python !== undefined && spawnSync('protoc', ['--version']).status === 0
const skip = isHere ? false : `no Python with grpc, or no protoc: on Debian, run apt-get install ${packages}`

test('worker and subscriber in Python take a key and an authority from the environment', { skip }, async (t) => {
  const authority = new Authority(tempDirectory(t))
  const { cert, key: tlsKey } = authority.issue('server')
  const env = { MILLRACE_AUTH: 'keys', MILLRACE_TLS_CERT: cert, MILLRACE_TLS_KEY: tlsKey }
  const server = await startInProcess(t, { env })
  const key = readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim()
  const client = connect({ addresses: [server.grpc], key, tls: { ca: authority.pem } })
  cleanup(t, () => client.close())
  const run = (name: string, own: Record<string, string>) => {
    const program = spawn(python!, [join(projectRoot, `examples/python-${name}/${name}.py`), server.grpc], {
      env: { PATH: process.env.PATH, MILLRACE_TLS_CA: authority.cert, ...own },
    })
    cleanup(t, () => void program.kill('SIGKILL'))
    let said = ''
    for (const stream of [program.stdout, program.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
    }
    return { said: () => said, ended: once(program, 'exit') }
  }
  const subscriber = run('subscriber', { MILLRACE_KEY: key })
  run('worker', { MILLRACE_KEY: key })
  const without = run('worker', {})
  await eventually(() => assert.match(subscriber.said(), /^connected$/m))

  await client.publishEvents([{ id: 'o-1', type: 'order.placed', data: { number: 1 } }])

  await eventually(() => assert.match(subscriber.said(), /"id": "o-1"/))
  await eventually(async () => {
    const { ledger } = await client.status()
    assert.equal(ledger.find(({ group }) => group === 'kitchen')?.landed, 1)
  })
  assert.deepEqual(await without.ended, [1, null])
  assert.match(without.said(), /^UNAUTHENTICATED: a key is missing/m)
})
