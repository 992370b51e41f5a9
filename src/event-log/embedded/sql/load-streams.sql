SELECT
  stream, topic_number AS topicNumber, partition, lane, group_number AS groupNumber, next_offset AS nextOffset,
  next_byte AS nextByte, trimmed_below AS trimmedBelow, trimmed_byte AS trimmedByte, crc
FROM streams
ORDER BY stream
