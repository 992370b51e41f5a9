-- Least recently used first.
SELECT
  producer_number AS producerNumber, stream, name, epoch, last_sequence AS lastSequence, stored, used_at AS usedAt, crc
FROM producers
ORDER BY used_at, producer_number
