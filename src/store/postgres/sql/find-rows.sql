SELECT event_id AS "eventId", source FROM events WHERE event_id = ANY ($1::uuid[])
