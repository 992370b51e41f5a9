SELECT
  group_number AS groupNumber, partition, reopened, landed, dead, lost, skipped, waiting_events AS waitingEvents,
  waiting_bytes AS waitingBytes, crc
FROM ledgers
ORDER BY group_number, partition
