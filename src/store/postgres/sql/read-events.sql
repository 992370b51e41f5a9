-- The events with these keys in the order of the keys, and their positions in the log, up to the event whose data
-- reaches a number of bytes. Parameters: keys; that number; the bytes beyond which an event's data is left out; the
-- numbers of more than 400 digits beyond which it is left out; whether data and attributes are read.
--
-- jsonb writes numbers out, so that its text can be 10,000 times as long as the row, and the server cannot be interrupted
-- while it makes that text: the text of a row with many long numbers is not made. The texts of all other keys are made, also
-- of those behind the last event: once (OFFSET 0 keeps the planner from repeating it), and dropped at once if too long.
SELECT event_id AS "eventId", id, source, type, subject, (extract(epoch FROM time) * 1000000)::bigint AS "timeMicros",
  (extract(epoch FROM received_at) * 1000000)::bigint AS "receivedAtMicros", topic, priority, key, data,
  data_bytes AS "dataBytes", long_numbers AS "longNumbers", bytes AS "dataLength",
  data_content_type AS "dataContentType", attributes, log_offset AS "logOffset", stream_topic AS "streamTopic",
  partition, lane, epoch
FROM (
  SELECT *, sum(counted) OVER (ORDER BY place) AS through
  FROM (
    SELECT place, event_id, id, source, type, subject, time, received_at, events.topic, priority, key,
      CASE WHEN bytes <= $3::integer THEN text END AS data,
      CASE WHEN $5::boolean AND bytes <= $3::integer THEN data_bytes END AS data_bytes, long_numbers, bytes,
      CASE WHEN bytes <= $3::integer THEN bytes ELSE 0 END AS counted, data_content_type,
      CASE WHEN $5::boolean THEN attributes END AS attributes, log_offset, streams.topic AS stream_topic, partition, lane,
      epoch
    FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (event_id, place)
      JOIN events USING (event_id)
      LEFT JOIN streams USING (stream)
      CROSS JOIN LATERAL (
        SELECT CASE WHEN $5::boolean THEN coalesce(jsonb_array_length(jsonb_path_query_array(data,
          'strict $.** ? (@ >= 1e400 || @ <= -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))')), 0) END AS long_numbers
        OFFSET 0
      ) AS numbers
      CROSS JOIN LATERAL (SELECT CASE WHEN long_numbers <= $4::integer THEN data::text END AS text OFFSET 0) AS written
      CROSS JOIN LATERAL (SELECT coalesce(octet_length(text), octet_length(data_bytes), 0) AS bytes OFFSET 0) AS measured
  ) AS cut
) AS counting
WHERE through - counted < $2::integer
ORDER BY place
