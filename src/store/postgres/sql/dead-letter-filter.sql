-- The condition that replaces {filter} in every statement that searches dead letters. A null parameter: no condition.
-- Parameters: dead letter ids, event ids, topic, group, type, code, dead_at from (inclusive) and to (exclusive) in
-- microseconds since 1970, whether it was redriven.
($1::uuid[] IS NULL OR dead_letter_id = ANY ($1::uuid[])) AND ($2::uuid[] IS NULL OR event_id = ANY ($2::uuid[]))
  AND ($3::text IS NULL OR topic = $3::text) AND ($4::text IS NULL OR "group" = $4::text)
  AND ($5::text IS NULL OR type = $5::text) AND ($6::text IS NULL OR code = $6::text)
  AND ($7::bigint IS NULL OR dead_at >= timestamptz 'epoch' + $7::bigint * interval '1 microsecond')
  AND ($8::bigint IS NULL OR dead_at < timestamptz 'epoch' + $8::bigint * interval '1 microsecond')
  AND ($9::boolean IS NULL OR (redriven_at IS NOT NULL) = $9::boolean)
