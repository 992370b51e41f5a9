// TLS and mTLS, as clients of several makers meet them.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ConnectOptions, connect } from '../../src/client/connect.ts'
import { Authority, type Certificate } from '../support/certificates.ts'
import { cleanup } from '../support/cleanup.ts'
import { eventually } from '../support/eventually.ts'
import { type InProcessServer, startInProcess } from '../support/in-process-server.ts'
import { runCommand } from '../support/run-command.ts'
import { run } from '../support/run-program.ts'
import { startServer } from '../support/server-process.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const python = ['/usr/bin/python3', 'python3'].find((program) => spawnSync(program, ['-c', 'import grpc']).status === 0)

function settingsOf({ cert, key }: Certificate, clients?: Authority): Record<string, string> {
  const settings = { MILLRACE_TLS_CERT: cert, MILLRACE_TLS_KEY: key }
  return clients === undefined ? settings : { ...settings, MILLRACE_TLS_CLIENT_CA: clients.cert }
}

function tlsOf({ pem }: Authority, certificate?: Certificate) {
  if (certificate === undefined) return { ca: pem }
  return { ca: pem, cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) }
}

function clientOf(t: TestContext, addresses: readonly string[], tls: ConnectOptions['tls']) {
  const client = connect({ addresses, deadlineMs: 10_000, ...(tls === undefined ? {} : { tls }) })
  cleanup(t, () => client.close())
  return client
}

/** What a client of this kind is told when it asks the server for its status; null when it gets it. */
async function outcomeOf(t: TestContext, address: string, tls: ConnectOptions['tls']): Promise<string | null> {
  const client = clientOf(t, [address], tls)
  try {
    await client.status()
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** What `check-config` or `doctor` has found. */
function messagesIn(json: string): string {
  const { problems, findings } = JSON.parse(json) as Record<string, { readonly message: string }[] | undefined>
  return (problems ?? findings ?? []).map(({ message }) => message).join('\n')
}

const named = (address: string) => address.replace('127.0.0.1', 'localhost')

test('curl, the client and the command line use a server with a certificate, which says so', async (t) => {
  const directory = tempDirectory(t)
  const authority = new Authority(directory)
  const server = await startServer(t, { env: settingsOf(authority.issue('server')) })
  assert.deepEqual(JSON.parse(readFileSync(join(server.dataDir, 'addresses.json'), 'utf8')), {
    http: server.http,
    grpc: server.grpc,
    tls: true,
  })
  assert.equal(JSON.parse(server.stdout).tls, true)

  const posted = await run('curl', [
    ...['-sS', '--cacert', authority.cert, '-H', 'content-type: application/json', '-d', '{"type":"by.curl"}'],
    `https://${named(server.http)}/v1/events`,
  ])
  assert.match(posted.stdout, /"accepted":1/, posted.stderr)
  const page = await run('curl', ['-sS', '--cacert', authority.cert, `https://${server.http}/`])
  assert.match(page.stdout, /<title>Millrace/)

  const client = clientOf(t, [named(server.grpc)], tlsOf(authority))
  const verdict = await client.publishEvents(Array.from({ length: 100 }, () => ({ type: 'by.client' })))
  assert.equal(verdict.accepted, 100)

  const { code, stdout, stderr } = await runCommand(['produce', '1000', '--ca', authority.cert], server)
  assert.deepEqual([code, stdout.slice(0, 13)], [0, 'accepted 1000'], stderr)
})

test('what is wrong with TLS between a client and a server is named', async (t) => {
  const directory = tempDirectory(t)
  const authority = new Authority(directory)
  const [plain, good, elsewhere, expired] = await Promise.all([
    startInProcess(t),
    startInProcess(t, { env: settingsOf(authority.issue('good')) }),
    startInProcess(t, { env: settingsOf(authority.issue('elsewhere', { names: 'DNS:example.com' })) }),
    startInProcess(t, { env: settingsOf(authority.issue('expired', { days: -1 })) }),
  ])
  const other = new Authority(directory, 'other')
  const cases: [InProcessServer, ConnectOptions['tls'], RegExp][] = [
    [good, undefined, /: the server speaks TLS: set MILLRACE_TLS_CA/],
    [plain, tlsOf(authority), /: the server does not speak TLS: unset MILLRACE_TLS_CA/],
    [
      elsewhere,
      tlsOf(authority),
      /: the certificate of the server is for DNS:example\.com, not for (127\.0\.0\.1|localhost): /,
    ],
    [expired, tlsOf(authority), /: the certificate of the server has expired/],
    [good, tlsOf(other), /: the certificate of the server is not from an authority that this client trusts/],
    [good, {}, /: the certificate of the server is not from an authority that this client trusts/],
    [good, { ca: 'no PEM' }, /tls is not valid: .*; ca, cert and key must be texts in PEM/],
    [good, { cert: authority.pem }, /tls\.cert and tls\.key must be given together/],
  ]
  for (const [server, tls, expected] of cases) {
    for (const address of [server.grpc, named(server.grpc)]) {
      assert.match((await outcomeOf(t, address, tls)) ?? 'no error', expected)
    }
  }
  assert.equal(await outcomeOf(t, good.grpc, tlsOf(authority)), null)
  await run('curl', ['-sS', `https://${plain.http}/`])
  assert.match(plain.stderr, /"reason":"this port does not speak TLS: use http:/)
  assert.match(expired.stderr, /"message":"MILLRACE_TLS_CERT: the certificate expired at 20.*Z, so clients refuse it/)
})

test('with mTLS only a valid certificate of the client authority gets past the handshake', async (t) => {
  const directory = tempDirectory(t)
  const [servers, clients] = [new Authority(directory, 'servers'), new Authority(directory, 'clients')]
  const server = await startInProcess(t, { env: settingsOf(servers.issue('server'), clients) })
  const valid = clients.issue('valid')
  const refused = {
    none: undefined,
    'of another authority': servers.issue('foreign'),
    expired: clients.issue('expired', { days: -1 }),
  }
  const curl = (certificate: Certificate | undefined) => {
    const own = certificate === undefined ? [] : ['--cert', certificate.cert, '--key', certificate.key]
    return run('curl', ['-sS', '--cacert', servers.cert, ...own, `https://${server.http}/livez`])
  }
  for (const [what, certificate] of Object.entries(refused)) {
    assert.match(
      (await outcomeOf(t, server.grpc, tlsOf(servers, certificate))) ?? 'none',
      /MILLRACE_TLS_CLIENT_CERT/,
      what,
    )
    const { stdout, code } = await curl(certificate)
    assert.deepEqual([stdout, code === 0], ['', false], what)
  }
  const reasons = server
    .logLines()
    .flatMap(({ transport, reason }) => (reason === undefined ? [] : [`${transport} ${reason}`]))
  for (const transport of ['grpc', 'http']) {
    for (const reason of [
      'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'CERT_HAS_EXPIRED',
    ]) {
      assert.ok(
        reasons.some((each) => each.startsWith(`${transport} ${reason}`)),
        `${transport} ${reason}: ${reasons}`,
      )
    }
  }

  assert.equal(await outcomeOf(t, server.grpc, tlsOf(servers, valid)), null)
  assert.equal((await curl(valid)).stdout, '{"live":true}')
  const own = ['--tls-client-cert', valid.cert, '--tls-client-key', valid.key]
  const { code, stderr } = await runCommand(['status', '--tls-ca', servers.cert, ...own], server)
  assert.equal(code, 0, stderr)
})

test('fault S26: a client certificate that is revoked gets no further than the handshake, from the next reading of the list on', async (t) => {
  const directory = tempDirectory(t)
  const [servers, clients] = [new Authority(directory, 'servers'), new Authority(directory, 'clients')]
  const [revoked, leaves, stays] = [clients.issue('revoked'), clients.issue('leaves'), clients.issue('stays')]
  const list = clients.revoke(revoked)
  const settings = { ...settingsOf(servers.issue('server'), clients), MILLRACE_TLS_CLIENT_CRL: list }
  const server = await startInProcess(t, { env: settings })
  const outcome = (certificate: Certificate) => outcomeOf(t, server.grpc, tlsOf(servers, certificate))
  const ofCurl = async ({ cert, key }: Certificate) => {
    const words = ['-sS', '--cacert', servers.cert, '--cert', cert, '--key', key, `https://${server.http}/livez`]
    return (await run('curl', words)).stdout
  }

  assert.match((await outcome(revoked)) ?? 'none', /the server closed the connection after the handshake began/)
  assert.equal(await ofCurl(revoked), '')
  for (const transport of ['grpc', 'http']) {
    assert.match(server.stderr, new RegExp(`"transport":"${transport}".*"reason":"CERT_REVOKED"`))
  }
  assert.deepEqual([await outcome(leaves), await ofCurl(leaves)], [null, '{"live":true}'])
  clients.revoke(leaves)
  await eventually(async () => assert.notEqual(await outcome(leaves), null))
  assert.deepEqual([await ofCurl(leaves), await ofCurl(revoked), await ofCurl(stays)], ['', '', '{"live":true}'])
  assert.equal(await outcome(stays), null)
})

test('gRPC for Python speaks TLS and mTLS with the server', {
  skip: python === undefined && 'no Python with grpc: on Debian, run apt-get install python3-grpcio',
}, async (t) => {
  const authority = new Authority(tempDirectory(t))
  const server = await startInProcess(t, { env: settingsOf(authority.issue('server'), authority) })
  const { cert, key } = authority.issue('client')
  const program = `
import grpc, sys
address, ca, key, cert = sys.argv[1:]
read = lambda path: open(path, "rb").read()
for pair in ((read(key), read(cert)), (None, None)):
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(read(ca), *pair))
    try:
        print(channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10).hex())
    except grpc.RpcError as error:
        print(error.code().name)
`
  const { stdout, stderr } = await run(python!, ['-c', program, named(server.grpc), authority.cert, key, cert])
  assert.equal(stdout, '0801\nUNAVAILABLE\n', stderr)
})

test('files that cannot be used keep a server from starting, and check-config and doctor name them all', async (t) => {
  const directory = tempDirectory(t)
  const authority = new Authority(directory)
  const [first, second, expired] = [
    authority.issue('first'),
    authority.issue('second'),
    authority.issue('expired', { days: -1 }),
  ]
  const missing = join(directory, 'missing.pem')
  const wrong: [Record<string, string>, RegExp][] = [
    [{ ...settingsOf(first), MILLRACE_TLS_KEY: second.key }, /MILLRACE_TLS_CERT is ".*": the private key is not that/],
    [{ ...settingsOf(first), MILLRACE_TLS_CLIENT_CA: missing }, /MILLRACE_TLS_CLIENT_CA is ".*missing\.pem": ENOENT/],
    [
      { ...settingsOf(first), MILLRACE_TLS_KEY: first.cert },
      /MILLRACE_TLS_KEY is ".*a private key in PEM without a passphrase/,
    ],
    [
      { ...settingsOf(first, authority), MILLRACE_TLS_CLIENT_CRL: first.cert },
      /MILLRACE_TLS_CLIENT_CRL is ".*a file of certificate revocation lists in PEM/,
    ],
  ]
  for (const [env, expected] of wrong) {
    const dataDir = join(directory, 'data')
    await assert.rejects(startInProcess(t, { dataDir, env }), expected)
    for (const command of ['check-config', 'doctor']) {
      const { code, stdout } = await runCommand([command, '--output', 'json'], { dataDir, env })
      assert.equal(code, 1, command)
      assert.match(messagesIn(stdout), expected, command)
    }
  }
  const checked = await runCommand(['check-config'], { dataDir: directory, env: settingsOf(expired) })
  assert.deepEqual(
    [checked.code, /warning: MILLRACE_TLS_CERT: the certificate expired/.test(checked.stderr)],
    [0, true],
  )
})
