// What --help prints below the options of each command: how it behaves, units, and examples. At most 80 columns.
//
// Not its job: names, descriptions and options (command-table.ts).

/** Below `millrace --help`. */
export const programHelp = `
How it works:
  Producers publish events over HTTP (POST /v1/events) or gRPC. An accepted
  event is in the durable log. Consumer groups read the log: the group "landing"
  writes each event as one row to the table "events" of the database (SQLite, or
  PostgreSQL with MILLRACE_POSTGRES_URL). An event that the database refuses
  becomes a dead letter. For each group:
    accepted + reopened = waiting + landed + dead + lost

Try it (the first line in a terminal of its own):
  millrace start
  millrace produce 1000
  millrace status
  millrace monitor

Settings:
  Each setting is a flag (--http-port 9000) and an environment variable
  (MILLRACE_HTTP_PORT=9000); the flag wins. "millrace check-config" prints the
  values in effect, "millrace start --help" describes all of them.

Exit codes:
  0    done
  1    failed, or a setting is invalid
  2    wrong command, argument or option
  3    the data directory is damaged: run "millrace doctor"
  130  interrupted by SIGINT (Ctrl-C)
  143  ended by SIGTERM

"millrace COMMAND --help" describes a command, with examples.`

const findsServer = `
Finding the server:
  The command connects over gRPC to --address, else to the address in
  addresses.json of --data-dir (a running server writes it), else to
  127.0.0.1:50051.`

const times = `
Times:
  TIME is an RFC 3339 time (2026-11-21T09:10:05Z) or an age: a number of
  seconds, minutes, hours or days (90s, 10m, 2h, 3d).`

const texts: Readonly<Record<string, string>> = {
  start: `
Without any setting it serves HTTP on 127.0.0.1:8080 and gRPC on
127.0.0.1:50051, and keeps the log and the database as two SQLite files in
./data. When it is ready it prints its addresses and a curl command to try. Its
log goes to stderr, one JSON document per line (readable text on a terminal).

On SIGTERM or Ctrl-C it takes no new events, finishes the work in flight within
--drain-ms and exits with 0. Unfinished events stay in the log and land after
the next start.

Examples:
  millrace start
  millrace start --data-dir /var/lib/millrace --http-port 9000
  millrace start --topics orders:4,clicks
  millrace start --redis-url redis://localhost:6379 \\
    --postgres-url postgres://millrace@localhost:5432/millrace`,

  produce: `
The last line on stdout counts accepted, dropped and rejected events. The exit
code is 0 only when every event was accepted. A full server slows the command
down. After a lost connection it tries to reconnect for up to 60 s and resends
what was not acknowledged under the same ids, so no row is doubled.

A line of an NDJSON file; only type is required:
  {"id":"o-1","type":"order.placed","source":"/shop","data":{"cents":990}}

Examples:
  millrace produce 1000
  millrace produce 60000 --rate 2000 --type sensor.reading --payload 500
  millrace produce --file events.ndjson --topic orders
  cat events.ndjson | millrace produce --file -
${findsServer}`,

  upload: `
The file is stored when the command exits with 0: complete, flushed, and with
the SHA-256 of what was sent. On a terminal a bar shows how much of it is on the
disk of the server. After an error, or Ctrl-C while it is sent, nothing of it is
stored; where the error says that the outcome is unknown, send it again with the
same --id: "there is a file with this id" then means that it is there.

ANALYSIS is the reply of file.analyze; "none yet" when no worker has made one
within 30 s of the end of the upload. GET /v1/files/ID has it later.

Examples:
  millrace upload report.txt --content-type text/plain
  tar c logs | millrace upload - --name logs.tar
${findsServer}`,

  status: `
Columns:
  WAITING    events in the log that have neither landed nor died
  IN FLIGHT  waiting events that a consumer is working on
  SKIPPED    events whose type the group does not read
  OLDEST     age of the oldest waiting event
  STATE      running, or since when and why what waits does not move
  REOPENED   events that a redrive or replay delivered again
  LANDED     events with a row in the database
  DEAD       events that became dead letters
  LOST       events lost with damaged or removed entries of the log
  BALANCED   whether accepted + reopened = waiting + landed + dead + lost
A value that the server cannot determine is shown as "unknown", never as 0.

Examples:
  millrace status
  millrace status --address 10.0.0.5:50051 --output json
${findsServer}`,

  monitor: `
On a terminal it draws a screen; q or Ctrl-C quits. Elsewhere, and with
--output json, it prints one line per update. A line that begins with "!" is a
warning: what is wrong and, after the colon, what to do. While the server is
unreachable it keeps reconnecting.

Examples:
  millrace monitor
  millrace monitor --address 10.0.0.5:50051 --interval 5
  millrace monitor 60 --output json > rates.ndjson
${findsServer}`,

  'dead-letters': `
Redriving an event sends it to its group again, with the same id, so it lands at
most once.

"millrace dead-letters COMMAND --help" describes a command, with examples.`,

  'dead-letters list': `
Examples:
  millrace dead-letters list
  millrace dead-letters list --by-cause --since 2h
  millrace dead-letters list --code refused_by_store --redriven no --limit 20
${times}
${findsServer}`,

  'dead-letters show': `
Example:
  millrace dead-letters show 95172b6f-66f8-5dbf-abcb-3bd724f3607d
${findsServer}`,

  'dead-letters redrive': `
Name dead letters by their ids, by a filter (--topic to --redriven), or with
--all. The oldest are sent first, in a batch of 10 and then in batches of up to
100. The command waits for the outcome of each batch and stops, with exit code
1, when an event dies again or its outcome is unknown after 5 s. An event keeps
its id, so it lands at most once. Dead letters that were redriven before are
left out unless they are named by id or by --redriven yes.

Examples:
  millrace dead-letters redrive --all --dry-run
  millrace dead-letters redrive --code refused_by_store --since 2h --rate 100
  millrace dead-letters redrive 95172b6f-66f8-5dbf-abcb-3bd724f3607d --edit
${times}
${findsServer}`,

  'dead-letters delete': `
Name dead letters by their ids, by a filter (--topic to --redriven), or with
--all. A deleted dead letter cannot be restored; nothing else ever deletes one.
Where stdin is not a terminal, --yes is required.

Examples:
  millrace dead-letters delete --type order.paid --until 3d --dry-run
  millrace dead-letters delete 95172b6f-66f8-5dbf-abcb-3bd724f3607d --yes
${times}
${findsServer}`,

  groups: `
Each topic of events has the group "landing", which writes them to the database. The
group "dead" of the topic "_dead" writes the dead letters. Each group reads all
events of its topic at its own pace.

"millrace groups COMMAND --help" describes a command, with examples.`,

  keys: `
A key says who calls and what for (docs/keys.md). It is printed once, when it
is made. The commands themselves send MILLRACE_KEY, else, to a server on this
machine, the key in admin.key of its data directory.

Examples:
  millrace keys create shop --scopes publish --topics orders --expires 90d
  millrace keys list
  millrace keys revoke WhYh19mGNwKC
  millrace keys check "$MILLRACE_KEY"

"millrace keys COMMAND --help" describes a command, with examples.`,

  'keys create': `
The key is the only line on stdout. A second key of the same name may be valid
while a program changes over; then revoke the first.

Examples:
  millrace keys create shop --scopes publish --topics orders > shop.key
  millrace keys create board --scopes subscribe,read --types 'order.**'
  millrace keys create ops --scopes read,operate,admin --expires 30d
${findsServer}`,

  'keys list': `
Example:
  millrace keys list --output json
${findsServer}`,

  'keys revoke': `
Example:
  millrace keys revoke WhYh19mGNwKC
${findsServer}`,

  'keys check': `
The checksum is compared first; a text that is no key is sent nowhere.

Examples:
  millrace keys check "$MILLRACE_KEY"
  millrace keys check - < shop.key
${findsServer}`,

  'groups list': `
Examples:
  millrace groups list
  millrace groups list --topic events --output json
${findsServer}`,

  'groups pause': `
Deliveries in flight are finished. Events are still accepted until a partition
of the topic has MILLRACE_MAX_WAITING_EVENTS waiting; then publishes are refused
as "backlogged". The pause holds in every process that uses the log. Pausing
again replaces the reason.

Example:
  millrace groups pause landing --reason "the table is being moved"
${findsServer}`,

  'groups resume': `
With --rate the group comes back slowly: it gets at most so many events a second,
in all processes together and also after a restart, until it is resumed without
--rate. A group with an outage, such as a database that is unreachable, goes on
by itself.

Examples:
  millrace groups resume mailer --rate 50
  millrace groups resume landing --topic orders
${findsServer}`,

  'groups keys': `
In a group of a handler with "ordered", an event that fails holds the later ones
of its key. With "onExhausted: hold" an event whose attempts have failed is held
until it is released here, under its key, or under its event_id where it has no
key or its group has no order.

Examples:
  millrace groups keys ledger
  millrace groups keys ledger --retry account-7
${findsServer}`,

  'groups delete': `
Use it for a group that has no consumers left: its backlog grows to the limit,
and then publishes to the whole topic are refused. Rows that have landed stay.
The group "landing" of a topic in MILLRACE_TOPICS and the groups of agents and
dead letters cannot be deleted. Where stdin is not a terminal, --yes is required.

Example:
  millrace groups delete landing --topic returns
${findsServer}`,

  request: `
The reply is printed as it came. A text or JSON that does not end with a line
break gets one. With --output json the reply is printed with its id, its content
type and the number of attempts.

The exit code is 0 with a reply, and 1 without: the worker has refused the
request or failed, no worker serves the type, or there was no reply in time.

Examples:
  millrace request text.analyze 'to be or not to be'
  millrace request text.analyze @book.txt --wait 60
  cat book.txt | millrace request text.analyze - --content-type text/plain
  id=$(millrace request report.build '{"year":2026}' --no-wait)
  millrace request report.build --reply "$id" --wait 300
${findsServer}`,

  agents: `
Columns:
  STATE      online: its last heartbeat is no older than the server's
             MILLRACE_AGENT_OFFLINE_MS; otherwise offline
  LAST SEEN  how long ago a server received its last heartbeat
  METADATA   what it said of itself then

Agents send heartbeats over gRPC (AgentService) or HTTP (POST /v1/heartbeats).

Examples:
  millrace agents
  millrace agents --limit 1000 --output json
${findsServer}`,

  journey: `
An event that still waits in the log is not found by its id; the error says how
many events are waiting.

Examples:
  millrace journey order-7 --source /shop
  millrace journey 1f1916f0-dcb4-5994-9204-81d522063a23
${findsServer}`,

  replay: `
For a database that was restored to an earlier state. An event that has its row
gets no second one. Other groups do not see replayed events. The log keeps
settled events for MILLRACE_RETENTION_MS or up to MILLRACE_RETENTION_BYTES,
whichever limit is reached first.

A POSITION is TOPIC/PARTITION/LANE@EPOCH:OFFSET; the lanes are high, normal and
low. "millrace journey" and "millrace dead-letters show" print positions.

Examples:
  millrace replay --since 2h --dry-run
  millrace replay --since 2026-11-21T09:00:00Z --type order.paid
  millrace replay --from events/0/normal@1:5000 --rate 500
${times}
${findsServer}`,

  'check-config': `
It reads flags and environment only and connects to nothing. FROM is default,
environment or flag. Passwords are not printed. Exit code 1 when a setting is
invalid.

Examples:
  millrace check-config
  MILLRACE_HTTP_PORT=9000 millrace check-config --output json`,

  doctor: `
Run it with the settings of the server. The data files of a running server are
not checked: the server checks them itself, at every read. STATE is ok, warning,
problem or damaged. Exit code 3 when something is damaged, 1 when there is a
problem, else 0. --repair begins a new epoch of the log and prints how many
events were kept and lost. --audit counts all entries of a paused group, which
the status does only up to 20,000: pause the group first.

Examples:
  millrace doctor
  millrace doctor --data-dir /var/lib/millrace --repair`,

  migrate: `
"millrace start" does the same where its role may create tables. An interrupted
migration changes nothing, and concurrent runs are safe. docs/cli.md lists the
rights that the server's own role needs afterwards.

Example:
  millrace migrate --postgres-url postgres://owner@localhost:5432/millrace`,

  clean: `
It deletes the log, the embedded database and Millrace's other files in the data
directory. With --redis-url it deletes the keys that begin with --redis-prefix
and a colon instead. Rows in PostgreSQL and files of other programs stay. It
refuses while a server uses the directory or a worker uses the keys; processes
with MILLRACE_ROLES=ingest are not noticed on Redis, so stop them first. Where
stdin is not a terminal, --yes is required.

Examples:
  millrace clean
  millrace clean --data-dir /tmp/try --yes`,
}

/** @param name a command or a group of commands, as in command-table.ts. Returns '' for one without a text. */
export function helpTextOf(name: string): string {
  return texts[name] ?? ''
}
